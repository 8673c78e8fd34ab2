"""Two sensors in two files of a ZIP become one recording."""

import io
import logging
import zipfile
from typing import Any

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits

AXES = "seconds_elapsed,z,y,x"


def packed(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def axes(walk: Any, lines: Any, values: np.ndarray, shift_s: float = 0.0) -> str:
    return str(lines(AXES, walk.t + shift_s, *values[::-1]))


def test_files_are_told_by_their_names(
    walk: Any, lines: Any, decode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    files = {
        "Gyroscope.csv": axes(walk, lines, walk.g),
        "Gravity.csv": axes(walk, lines, walk.a * 0.9),
        "Accelerometer.csv": axes(walk, lines, walk.a * 0.1),
        "TotalAcceleration.csv": axes(walk, lines, walk.a),
        "GyroscopeUncalibrated.csv": axes(walk, lines, walk.g + 1),
        "Metadata.csv": "version,device\n3,phone\n",
        "__MACOSX/._Gyroscope.csv": "\x00\x01",
        "photo.jpg": "no picture",
    }
    with caplog.at_level(logging.INFO):
        walk.check(decode(packed(files)))
    assert "left out Gravity.csv, Accelerometer.csv, " in caplog.text


def test_files_are_told_by_their_columns(walk: Any, lines: Any, decode: Any) -> None:
    files = {
        "meta/device.csv": "property,value\nversion,1\n",
        "imu0/data.csv": lines(
            "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
            "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]",
            *([round(1e9 * second) for second in walk.t], *walk.g, *walk.a),
        ),
    }
    walk.check(decode(packed(files)))


def test_of_two_files_one_name_is_enough(walk: Any, lines: Any, decode: Any) -> None:
    files = {"walk.csv": axes(walk, lines, walk.a), "gyro.csv": axes(walk, lines, walk.g)}
    walk.check(decode(packed(files)))
    files = {"Metadata.csv": "version\n3\n", "gyro.csv": axes(walk, lines, walk.g)}
    assert decode(packed(files)).present.tolist() == [False] * 3 + [True] * 3


def test_one_file_may_be_all(walk: Any, lines: Any, decode: Any) -> None:
    text = lines("t_s,ax,ay,az,gx,gy,gz", walk.t, *walk.a, *walk.g)
    walk.check(decode(packed({"walk.csv": text})))
    gyro = decode(packed({"gyro.csv": axes(walk, lines, walk.g)}))
    assert pytest.approx(walk.g, abs=1e-5) == gyro.samples[:, 3:].T


def test_unlike_rates_are_joined_at_the_faster(walk: Any, lines: Any, decode: Any) -> None:
    slow = lines("timestamp_ms,x,y,z", 1000 * walk.t[::2], *walk.g[:, ::2])
    files = {"acc.csv": axes(walk, lines, walk.a), "gyro.csv": slow}
    motion = decode(packed(files))
    assert motion.rate_hz == 50
    assert pytest.approx(walk.a[:, : len(motion.samples)], abs=1e-5) == motion.samples[:, :3].T
    assert pytest.approx(walk.g[:, : len(motion.samples)], abs=0.05) == motion.samples[:, 3:].T


def test_the_faster_leads_even_if_it_is_the_shorter(walk: Any, lines: Any, decode: Any) -> None:
    slow = np.arange(100) / 10
    rest = np.repeat([[0.0], [0.0], [9.8]], len(slow), axis=1)
    files = {
        "Accelerometer.csv": lines(AXES, slow, *rest[::-1]),
        "Gyroscope.csv": lines(AXES, walk.t[:75], *walk.g[::-1, :75]),
    }
    motion = decode(packed(files))
    assert motion.rate_hz == pytest.approx(50)
    assert pytest.approx(walk.g[:, :75], abs=2e-3) == motion.samples[:, 3:].T


def test_two_files_of_one_name_are_refused(walk: Any, lines: Any, decode: Any) -> None:
    buffer = io.BytesIO()
    text = axes(walk, lines, walk.a)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("walk.csv", text)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("walk.csv", text)
    with pytest.raises(MediaUnsupported, match="two files of one name"):
        decode(buffer.getvalue())


def test_units_of_each_file_are_kept(walk: Any, lines: Any, decode: Any) -> None:
    acceleration, rotation = walk.a / 9.80665, np.degrees(walk.g)
    files = {
        "a.csv": lines("t_s,x-axis (g),y-axis (g),z-axis (g)", walk.t, *acceleration),
        "b.csv": lines("t_s,x-axis (deg/s),y-axis (deg/s),z-axis (deg/s)", walk.t, *rotation),
    }
    walk.check(decode(packed(files)))


def test_the_times_that_both_have_are_kept(
    walk: Any, lines: Any, decode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"acc.csv": axes(walk, lines, walk.a), "gyro.csv": axes(walk, lines, walk.g, 1.0)}
    with caplog.at_level(logging.WARNING):
        motion = decode(packed(files))
    assert motion.duration_s == pytest.approx(2.0, abs=0.05)
    assert "cut 2 s in which one of the sensors is silent" in caplog.text


def test_files_without_times_stand_side_by_side(walk: Any, lines: Any, decode: Any) -> None:
    files = {"acc.csv": lines("x,y,z", *walk.a), "gyro.csv": lines("x,y,z", *walk.g)}
    walk.check(decode(packed(files), rate_hz=50))
    files["gyro.csv"] = lines("x,y,z", *walk.g[:, 1:])
    with pytest.raises(MediaUnsupported, match="differ in length"):
        decode(packed(files), rate_hz=50)


def test_files_that_do_not_fit_are_refused(walk: Any, lines: Any, decode: Any) -> None:
    acceleration = axes(walk, lines, walk.a)

    def refused(error: type[MediaError], match: str, files: dict[str, str], **options: Any) -> None:
        with pytest.raises(error, match=match):
            decode(packed(files), **options)

    two = {"acc1/accelerometer.csv": acceleration, "acc2/accelerometer.csv": acceleration}
    refused(MediaUnsupported, "which name the same sensor", two)
    far = {"acc.csv": acceleration, "gyro.csv": axes(walk, lines, walk.g, 1000.0)}
    refused(MediaUnsupported, "times do not overlap", far)
    nan = {"acc.csv": acceleration, "gyro.csv": f"{AXES}\n0,1,2,3\n1,nan,2,3\n"}
    refused(MediaCorrupt, "NaN.* at row 2 of rotation", nan)
    late = f"{AXES}\n0,1,2,3\n.1,1,2,3\n.2,1,2,3\n2,1,2,3"
    gap = {"acc.csv": acceleration, "gyro.csv": late}
    refused(MediaCorrupt, "a gap of 1.8 s", gap)
    refused(MediaUnsupported, "without arrays and without CSV or JSON", {"a.xml": "<a/>"})
    refused(MediaTooLarge, "unpacked", {"a.csv": "0," * 999}, limits=Limits(max_bytes=500))
    refused(MediaTooLarge, "65 files", {f"{number}.csv": "1" for number in range(65)})
    refused(MediaUnsupported, "none of which is known", {"b.csv": "k,l\n1,2", "c.csv": "k\n1"})
    with pytest.raises(MediaCorrupt, match="broken or truncated"):
        decode(packed(far)[:-40])
