import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Motion

NUM_ROWS = 100
VALUES = np.random.default_rng(0).normal(size=(NUM_ROWS, 6))
TIME_S = np.arange(NUM_ROWS) / 50
NAMES = ("ax", "ay", "az", "gx", "gy", "gz")
FRAME = pd.DataFrame({"t_s": TIME_S, **dict(zip(NAMES, VALUES.T, strict=True))})
HEADER = "t_s,ax,ay,az,gx,gy,gz"
EGO4D = "canonical_timestamp_ms,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"


def decode(given: Any, limits: Limits | None = None, **options: Any) -> Motion:
    if isinstance(given, bytes):
        given = Source(name="walk", data=given)
    return decode_imu(given, limits or Limits(), **options)


def check(motion: Motion, num_channels: int = 6) -> None:
    assert motion.rate_hz == pytest.approx(50)
    assert motion.samples.shape == (NUM_ROWS, 6)
    assert motion.present.tolist() == [place < num_channels for place in range(6)]
    known = slice(0, num_channels)
    assert motion.samples[:, known] == pytest.approx(VALUES[:, known], abs=1e-5)
    assert not motion.samples[:, num_channels:].any()


def test_csv_headers(table: Callable[..., bytes]) -> None:
    check(decode(table(HEADER, TIME_S, *VALUES.T)))
    check(decode(table(EGO4D, TIME_S * 1000, *VALUES.T)))
    check(decode(table("T_us; AX ;ay;az", TIME_S * 1e6, *VALUES.T[:3], delimiter=";")), 3)
    check(decode(table("\ufeffax,ay,az,gx,gy,gz", *VALUES.T), rate_hz=50))
    check(
        decode(
            table("gyr_z,gyr_y,gyr_x,acc_x,acc_y,acc_z", *VALUES.T[[5, 4, 3, 0, 1, 2]]), rate_hz=50
        )
    )


def test_csv_without_a_header(table: Callable[..., bytes]) -> None:
    check(decode(table("", *VALUES.T), rate_hz=50))
    check(decode(table("", *VALUES.T[:3], delimiter=" "), rate_hz=50), 3)
    check(decode(table("", *VALUES.T[:3], delimiter="\t"), rate_hz=50), 3)


def test_other_columns_are_ignored_even_if_they_hold_words() -> None:
    lines = ["t_ms,label,ax,ay,az", "0,sitting,1,2,3", '20,"lying, down",1,2,3']
    assert decode("\r\n".join(lines).encode()).samples[1].tolist() == [1, 2, 3, 0, 0, 0]


def test_arrays(array_file: Callable[..., bytes], archive: Callable[..., bytes]) -> None:
    check(decode(array_file(VALUES), rate_hz=50))
    check(decode(array_file(np.asfortranarray(VALUES, dtype=">f4")), rate_hz=50))
    check(decode(array_file(FRAME.to_records(index=False))))
    check(decode(archive(anything=VALUES), rate_hz=50))
    check(decode(archive(samples=VALUES, rate_hz=50.0)))
    check(decode(archive(samples=VALUES[:, :3], t_ms=TIME_S * 1000)), 3)
    check(decode(archive(t_s=TIME_S, **dict(zip(NAMES, VALUES.T, strict=True)))))


def test_parquet() -> None:
    file = io.BytesIO()
    FRAME.assign(label="walking").to_parquet(file)
    check(decode(file.getvalue()))


def test_json() -> None:
    rows = VALUES.tolist()
    check(decode(json.dumps(rows).encode(), rate_hz=50))
    check(decode(json.dumps({"samples": rows, "rate_hz": 50}).encode()))
    check(decode(FRAME.to_json(orient="records", double_precision=12).encode()))
    check(decode(json.dumps(FRAME.to_dict("list")).encode()))


def test_values_in_memory() -> None:
    check(decode(FRAME))
    check(decode(pd.DataFrame(VALUES), rate_hz=50))
    check(decode(VALUES[:, :3].tolist(), rate_hz=50), 3)
    check(decode(VALUES, rate_hz=50.0))
    check(decode(dict(zip(NAMES, VALUES.T, strict=True)), rate_hz=50))
    check(decode(FRAME.to_dict("records")))


def test_rotation_alone_is_accepted() -> None:
    motion = decode({"gx": [1.0], "gy": [2.0], "gz": [3.0]}, rate_hz=50)
    assert motion.present.tolist() == [False] * 3 + [True] * 3
    assert motion.samples.tolist() == [[0, 0, 0, 1, 2, 3]]


def test_units_are_converted() -> None:
    motion = decode(
        [[1, 0, -2, 180, 0, -90]], rate_hz=50, acceleration_unit="g", rotation_unit="deg/s"
    )
    expected = [9.80665, 0, -19.6133, math.pi, 0, -math.pi / 2]
    assert motion.samples[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rate_hz", [30, 33.3, 59.9, 200, 400])
def test_times_in_whole_milliseconds_give_the_rate(rate_hz: float) -> None:
    time_ms = np.round(np.arange(500) / rate_hz * 1000)
    signal = np.sin(np.arange(500) / rate_hz * 6)
    motion = decode({"t_ms": time_ms, "ax": signal, "ay": signal, "az": signal})
    assert motion.rate_hz == pytest.approx(rate_hz, rel=1e-3)
    expected = np.sin(np.arange(len(motion.samples)) / motion.rate_hz * 6)
    assert motion.samples[:, 0] == pytest.approx(expected, abs=5e-3)


def test_jitter_and_lost_rows_are_bridged() -> None:
    kept = np.delete(np.arange(300), [50, 51, 120]) / 100
    motion = decode({"t_s": kept, "ax": kept, "ay": kept, "az": kept})
    assert motion.rate_hz == 100
    assert motion.samples[:, 0] == pytest.approx(np.arange(300) / 100, abs=1e-5)
    jittered = np.cumsum(np.random.default_rng(0).uniform(0.006, 0.014, 300))
    motion = decode({"t_s": jittered, "ax": jittered, "ay": jittered, "az": jittered})
    assert np.diff(motion.samples[:, 0]) == pytest.approx(1 / motion.rate_hz, abs=1e-4)


def refused(error: type[MediaError], match: str, given: Any, **options: Any) -> None:
    with pytest.raises(error, match=match):
        decode(given, **options)


def test_gaps_are_named() -> None:
    late = FRAME.assign(t_s=np.where(np.arange(NUM_ROWS) < 70, TIME_S, TIME_S + 3))
    refused(MediaCorrupt, r"gap of 3.02 s between rows 70 and 71", late)
    assert decode(late, Limits(max_gap_s=4.0)).duration_s == pytest.approx(5)


def test_time_that_runs_far_back_is_named() -> None:
    time_s = TIME_S.copy()
    time_s[70] = time_s[50]
    refused(MediaCorrupt, r"does not advance at row 71 \(0.38 s back\)", FRAME.assign(t_s=time_s))


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize(("column", "said"), [("t_s", "time"), ("gy", "gy")])
def test_values_that_are_not_finite_are_named(
    value: float, words: str, column: str, said: str
) -> None:
    frame = FRAME.copy()
    frame.loc[6, column] = value
    frame.loc[8, column] = value
    refused(MediaCorrupt, rf"{words}.* at row 7, column {said} \(2 such rows\)", frame)


@pytest.mark.parametrize("mark", ["fffe", "feff"])
def test_utf_16_is_told_from_sound(mark: str) -> None:
    text = f"\ufeff{HEADER}\n0,1,2,3\n".encode("utf-16-le" if mark == "fffe" else "utf-16-be")
    assert text.startswith(bytes.fromhex(mark))
    refused(MediaUnsupported, "found UTF-16 text; accepted: CSV or JSON saved as UTF-8", text)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0.02,1,,3", "an empty cell at row 2, column ay"),
        ("0.02,1,abc,3", "'abc' at row 2, column ay"),
        ("0.02,1,3", "3 cells in row 2"),
        ("0.02,1,2,3,4", "5 cells in row 2"),
    ],
)
def test_bad_cells_are_named(line: str, match: str) -> None:
    refused(MediaCorrupt, match, f"t_s,ax,ay,az\n0,1,2,3\n{line}\n".encode())


def test_rates_that_cannot_be_are_refused() -> None:
    for rate_hz in (0, -50, float("nan"), float("inf"), 1e6):
        refused(MediaUnsupported, "1 to 10000 Hz", VALUES, rate_hz=rate_hz)
    refused(MediaUnsupported, "a number of Hz", VALUES, rate_hz="50")
    refused(MediaUnsupported, r"declare rate_hz \(on the command line: --imu-rate-hz\)", VALUES)
    refused(
        MediaUnsupported, "declared rate of 100 Hz and times that make 50 Hz", FRAME, rate_hz=100
    )


def test_values_no_sensor_measures_are_refused() -> None:
    counts = [[0, 0, 16384, 0, 0, 0]]
    refused(MediaTooLarge, "az of 16384 m/s2 at row 1", counts, rate_hz=50)
    degrees = [[0, 0, 9.8, 0, 0, 0], [0, 0, 9.8, 250, 0, 0]]
    refused(MediaTooLarge, "gx of 250 rad/s at row 2.*declare the unit", degrees, rate_hz=50)
    assert decode(degrees, rate_hz=50, rotation_unit="deg/s")


def test_values_no_sensor_measures_are_named_by_the_row_of_the_file() -> None:
    """A row is lost before the spike, which stands between two points of the grid."""
    time_s = np.delete(np.arange(40) / 50, 7)
    time_s[20] += 0.01
    spike = np.where(np.arange(len(time_s)) == 20, 2500.0, 0.0)
    columns = {"t_s": time_s, "ax": spike, "ay": spike, "az": spike}
    refused(MediaTooLarge, "ax of 2500 m/s2 at row 21; accepted: at most 2000 m", columns)


def test_limits_hold() -> None:
    few = Limits(max_motion_samples=NUM_ROWS - 1)
    refused(MediaTooLarge, "at most 99 rows", VALUES.tolist(), limits=few, rate_hz=50)
    short = Limits(max_motion_seconds=1.9)
    refused(MediaTooLarge, "at most 2 seconds", VALUES, limits=short, rate_hz=50)
    refused(MediaTooLarge, "at most 2 seconds", FRAME, limits=short)
    assert decode(VALUES, Limits(max_motion_samples=NUM_ROWS), rate_hz=50)


def test_a_grid_is_counted_before_it_is_made() -> None:
    """Half of the steps tell a high rate, the other half a long time."""
    time_s = np.cumsum([0.0, 0.0001, *[0.0001, 0.249] * 20])
    few = Limits(max_motion_samples=1000)
    columns = {"t_s": time_s, "ax": time_s, "ay": time_s, "az": time_s}
    match = "times that make 49,822 rows at 10000 Hz; accepted: at most 1,000 rows"
    refused(MediaTooLarge, match, columns, limits=few)
    assert len(decode(columns, Limits(max_motion_samples=49_822)).samples) == 49_822


def test_the_declared_format_must_be_true(table: Callable[..., bytes]) -> None:
    data = table(HEADER, TIME_S, *VALUES.T)
    check(decode(data, format="csv"))
    refused(MediaUnsupported, "declared as 'npy'", data, format="npy")
    refused(MediaUnsupported, "unknown format 'xlsx'", data, format="xlsx")
