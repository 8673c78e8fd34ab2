"""CSV as apps and wearables write it: preambles, units rows, delimiters, decimal commas."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported

GRAVITY, SINCE_1970_S = 9.80665, 1_790_000_000
PLAIN = "t_s,ax,ay,az,gx,gy,gz"


def epoch(t: np.ndarray, unit_s: float) -> list[int]:
    return [round((SINCE_1970_S + second) / unit_s) for second in t]


def clock(t: np.ndarray) -> list[str]:
    return [f"2026-09-21T12:00:{second:06.3f}Z" for second in t]


MAKERS: dict[str, Callable[[Any, Any], tuple[str, int]]] = {
    "Sensor Logger": lambda w, lines: (
        lines("time,seconds_elapsed,z,y,x", epoch(w.t, 1e-9), w.t, *w.a[::-1]),
        3,
    ),
    "phyphox": lambda w, lines: (
        lines(
            '"Time (s)","Acceleration x (m/s^2)","Acceleration y (m/s^2)",'
            '"Acceleration z (m/s^2)","Absolute acceleration (m/s^2)"',
            *(w.t, *w.a, np.linalg.norm(w.a, axis=0)),
        ),
        3,
    ),
    "phyphox with decimal commas": lambda w, lines: (
        lines(
            '"Time (s)";"Gyroscope x (rad/s)";"Gyroscope y (rad/s)";"Gyroscope z (rad/s)";'
            '"Acceleration x (m/s^2)";"Acceleration y (m/s^2)";"Acceleration z (m/s^2)"',
            *(w.t, *w.g, *w.a),
            mark=";",
        ).replace(".", ","),
        6,
    ),
    "Physics Toolbox": lambda w, lines: (
        lines("time, ax, ay, az, wx, wy, wz", w.t, *w.a, *w.g),
        6,
    ),
    "Physics Toolbox in g": lambda w, lines: (
        lines("time,gFx,gFy,gFz,TgF", w.t, *w.a / GRAVITY, w.a[0]),
        3,
    ),
    "Sensor Kinetics": lambda w, lines: (
        lines("time,X_value,Y_value,Z_value,", w.t, *w.a, [""] * len(w.t)),
        3,
    ),
    "Xsens DOT": lambda w, lines: (
        "DeviceTag:,left\nFirmwareVersion:,1.6\n\nsep=,\n"
        + lines(
            "PacketCounter,SampleTimeFine,Euler_X,Euler_Y,Euler_Z,"
            "Acc_X,Acc_Y,Acc_Z,Gyr_X,Gyr_Y,Gyr_Z",
            *(range(len(w.t)), [1000 + round(1e6 * second) for second in w.t]),
            *([0] * len(w.t) for _ in range(3)),
            *(*w.a, *np.degrees(w.g)),
        ),
        6,
    ),
    "Shimmer": lambda w, lines: (
        '"sep=\t"\n'
        + lines(
            "Shimmer_40AC_Timestamp_Unix_CAL\t"
            + "\t".join(f"Shimmer_40AC_Accel_LN_{axis}_CAL" for axis in "XYZ")
            + "\t"
            + "\t".join(f"Shimmer_40AC_Gyro_{axis}_CAL" for axis in "XYZ")
            + "\t\nms\t"
            + "m/(s^2)\t" * 3
            + "deg/s\t" * 3,
            *([f"{1000 * (SINCE_1970_S + second):.3f}" for second in w.t], *w.a),
            *(*np.degrees(w.g), [""] * len(w.t)),
            mark="\t",
        ),
        6,
    ),
    "ActiGraph": lambda w, lines: (
        "------------ Data File Created By ActiGraph GT3X+ date format M/d/yyyy at 50 Hz ------\n"
        "Serial Number: NONE\nStart Time 12:00:00\nStart Date 9/21/2026\n"
        "Current Memory Address: 0\n-----------------------------------------------\n"
        + lines(
            "Timestamp,Accelerometer X,Accelerometer Y,Accelerometer Z",
            *([f"9/21/2026 12:00:{second:06.3f}" for second in w.t], *w.a / GRAVITY),
        ),
        3,
    ),
    "Axivity": lambda w, lines: (
        lines(
            "Time,Accel-X (g),Accel-Y (g),Accel-Z (g),Gyro-X (d/s),Gyro-Y (d/s),Gyro-Z (d/s)",
            *(clock(w.t), *w.a / GRAVITY, *np.degrees(w.g)),
        ),
        6,
    ),
    "EuRoC": lambda w, lines: (
        lines(
            "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
            "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]",
            *(epoch(w.t, 1e-9), *w.g, *w.a),
        ),
        6,
    ),
    "MetaWear": lambda w, lines: (
        lines(
            "epoch (ms),time (-13:00),elapsed (s),x-axis (deg/s),y-axis (deg/s),z-axis (deg/s),"
            "x-axis (g),y-axis (g),z-axis (g)",
            *(epoch(w.t, 1e-3), clock(w.t), w.t, *np.degrees(w.g), *w.a / GRAVITY),
        ),
        6,
    ),
    "GoPro": lambda w, lines: (
        lines(
            "cts,date,Accelerometer (z) [m/s2],Accelerometer (x) [m/s2],Accelerometer (y) [m/s2],"
            "temperature [\u00b0C]",
            *(1000 * w.t, clock(w.t), w.a[2], w.a[0], w.a[1], ["21.5"] * len(w.t)),
        ),
        3,
    ),
    "ROS": lambda w, lines: (
        lines(
            "%time,field.header.seq,field.header.stamp,field.header.frame_id,"
            + ",".join(f"field.angular_velocity.{axis}" for axis in "xyz")
            + ","
            + ",".join(f"field.linear_acceleration.{axis}" for axis in "xyz"),
            *(epoch(w.t, 1e-9), range(len(w.t)), epoch(w.t, 1e-9), ["imu"] * len(w.t)),
            *(*w.g, *w.a),
        ),
        6,
    ),
    "an Android log": lambda w, lines: (
        "# Created at noon\n# rates: 50 50\n" + lines("", epoch(w.t, 1e-9), *w.a, mark=" "),
        3,
    ),
    "a comment as header": lambda w, lines: (
        lines("# recorded\n# timestamp x y z", epoch(w.t, 1e-9), *w.a, mark=" "),
        3,
    ),
    "dates without a header": lambda w, lines: (lines("", clock(w.t), *w.a), 3),
    "seven columns by tabs": lambda w, lines: (lines("", w.t, *w.a, *w.g, mark="\t"), 6),
    "a units row": lambda w, lines: (
        lines(f"{PLAIN}\ns,g,g,g,deg/s,deg/s,deg/s", w.t, *w.a / GRAVITY, *np.degrees(w.g)),
        6,
    ),
    "quoted numbers": lambda w, lines: (
        lines(PLAIN, *([f'"{value:.6f}"' for value in row] for row in (w.t, *w.a, *w.g))),
        6,
    ),
    "tabs and a comma in a name": lambda w, lines: (
        lines("t_s\tax\tay\taz\tnote, free text", w.t, *w.a, ["ok"] * len(w.t), mark="\t"),
        3,
    ),
    "commas at the ends": lambda w, lines: (
        lines("t_s,ax,ay,az", w.t, *w.a, [""] * len(w.t)),
        3,
    ),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_what_makers_write_is_read(maker: str, walk: Any, lines: Any, decode: Any) -> None:
    text, num_channels = MAKERS[maker](walk, lines)
    walk.check(decode(text), num_channels)
    walk.check(decode(text.replace("\n", "\r\n")), num_channels)


def test_empatica_states_its_rate_and_counts_64_a_g(walk: Any, decode: Any) -> None:
    counts = np.round(64 * walk.a / GRAVITY).astype(int).T
    rows = [["1790000000.0"] * 3, ["50.0"] * 3, *counts.tolist()]
    text = "\n".join(", ".join(map(str, row)) for row in rows)
    motion = decode(text)
    assert motion.rate_hz == 50
    assert pytest.approx(walk.a, abs=0.08) == motion.samples[:, :3].T
    assert decode(text, acceleration_unit="g").samples.tolist() == motion.samples.tolist()


def test_decimal_commas_without_a_header(walk: Any, lines: Any, decode: Any) -> None:
    for mark in ";", "\t", " ":
        text = lines("", *walk.a, mark=mark).replace(".", ",")
        walk.check(decode(text, rate_hz=50), 3)


def test_a_header_that_is_repeated_is_left_out(walk: Any, lines: Any, decode: Any) -> None:
    rows = lines(PLAIN, walk.t, *walk.a, *walk.g).splitlines()
    walk.check(decode("\n".join([*rows[:50], PLAIN, *rows[50:]])))


def test_a_declared_rate_needs_no_time_that_can_be_read(
    walk: Any, lines: Any, decode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    text = lines("time,ax,ay,az", range(len(walk.t)), *walk.a)
    with pytest.raises(MediaUnsupported, match="time of no unit"):
        decode(text)
    with caplog.at_level(logging.WARNING):
        walk.check(decode(text, rate_hz=50), 3)
    assert "the declared rate of 50 Hz is used instead" in caplog.text
    text = lines("time,ax,ay,az", [f"tick {row}" for row in range(len(walk.t))], *walk.a)
    with pytest.raises(MediaUnsupported, match="'tick 0' at row 1"):
        decode(text)
    walk.check(decode(text, rate_hz=50), 3)


def test_lines_that_are_not_read_are_told(
    walk: Any, lines: Any, decode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        decode("made by hand\nin a hurry\n" + lines("t_s,ax,ay,az", walk.t, *walk.a))
    assert "2 lines before the table, from 'made by hand'" in caplog.text


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("t_s,label\n0,1\n", MediaUnsupported, "the columns t_s, label, none of which is known"),
        ("t_s,ax,ay\n0,1,2\n", MediaUnsupported, "without az"),
        ("1,2,3\n4,x,6\n", MediaCorrupt, "'x' at row 2, column 2"),
        ("1,2,3,4\n1,2,3,4\n", MediaUnsupported, r"values of shape \[2, 4\]"),
        ("t_s,ax,ay,az\n0,1,2,3,4\n", MediaCorrupt, "5 cells in row 1"),
        ("t_s,ax,ay,az\ns,g,g,g\n", MediaError, "without rows"),
        ("ax,ay,az," + "b," * 1000 + "c\n1,2,3\n", MediaTooLarge, "more than 1000 columns"),
        ("a" * 1_000_000, MediaUnsupported, "none of which is known"),
        ('"' * 200_000 + ",ax", MediaError, "walk"),
        ("(" * 100_000 + "ax", MediaError, "walk"),
        ("2026-09-21T12:00:00,1,2\n2026-09-21T12:00:01,1,2\n", MediaUnsupported, "3 columns"),
        ('5",1,2\n3,4,5\n6,7,8\n', MediaError, "walk"),
        ("#\n#\n", MediaUnsupported, "none of which is known"),
    ],
)
def test_what_is_no_table_is_refused(text: str, error: type, match: str, decode: Any) -> None:
    with pytest.raises(error, match=match):
        decode(text, rate_hz=50)


@pytest.mark.parametrize(
    ("sensor", "unit", "place"), [("Accelerometer", "[m/s2]", 0), ("Gyroscope", "[rad/s]", 3)]
)
def test_axes_that_are_only_numbered_are_refused_until_they_are_named(
    sensor: str, unit: str, place: int, walk: Any, lines: Any, decode: Any
) -> None:
    values = np.vstack([walk.a, walk.g])[place : place + 3]
    header = f"{sensor} {unit},1,2"
    rows = lines(f"cts,{header}", 1000 * walk.t, *values[[2, 0, 1]])
    named = ",".join(f"{sensor} ({axis}) {unit}" for axis in "zxy")
    with pytest.raises(MediaUnsupported, match="which name no axes") as refused:
        decode(rows)
    assert named in str(refused.value)
    motion = decode(rows.replace(header, named))
    assert pytest.approx(values, abs=2e-3) == motion.samples[:, place : place + 3].T


def test_axes_of_one_sensor_are_not_mixed_with_those_of_another(
    walk: Any, lines: Any, decode: Any
) -> None:
    zeros = np.zeros(len(walk.t))
    text = lines("t_s,total_acc_x,total_acc_y,acc_x,acc_y,acc_z", walk.t, zeros, zeros, *walk.a)
    walk.check(decode(text), 3)
    mixed = lines("t_s,total_acc_x,acc_y,acc_z", walk.t, *walk.a)
    with pytest.raises(MediaUnsupported, match="without ay, az"):
        decode(mixed)
