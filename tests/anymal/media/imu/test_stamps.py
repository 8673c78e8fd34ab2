"""Times in any unit, dates and times of the day."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.imu.stamps import seconds_of

STEP_S = 0.02
COUNT = np.arange(100)
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read(values: Any, unit: str | None = None) -> np.ndarray:
    return seconds_of("walk", "time", values, unit)


def check(values: Any, within: float = 1e-6) -> None:
    seconds = read(values)
    assert seconds - seconds[0] == pytest.approx(COUNT * STEP_S, abs=within)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("start_s", [0.0, 37.0, 1e5, 1_790_000_000.0])
def test_numbers_tell_their_unit_by_their_size(unit: str, start_s: float) -> None:
    check((start_s + COUNT * STEP_S) / UNITS[unit])


@pytest.mark.parametrize(
    ("rate_hz", "unit"), [(5, "s"), (5, "ms"), (400, "ms"), (400, "us"), (600, "s"), (5, "ns")]
)
def test_slow_and_fast_sensors_tell_it_too(rate_hz: float, unit: str) -> None:
    seconds = read(COUNT / rate_hz / UNITS[unit])
    assert seconds == pytest.approx(COUNT / rate_hz)


def test_a_size_that_tells_no_unit_is_refused() -> None:
    with pytest.raises(MediaUnsupported, match=r"time of no unit.*t_ms.*--imu-rate-hz"):
        read(COUNT)
    with pytest.raises(MediaUnsupported, match="of no unit"):
        read(np.zeros(9))


def test_a_unit_in_the_name_counts_more_than_the_size(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert read(COUNT, "s").tolist() == COUNT.tolist()
        assert not caplog.text
        read(COUNT * 20)
    assert "times of time read in ms, as their size tells" in caplog.text


def when(row: int) -> datetime:
    return datetime(2026, 9, 21, 23, 59, 59, tzinfo=UTC) + timedelta(seconds=row * STEP_S)


@pytest.mark.parametrize(
    "write",
    [
        lambda time: time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        lambda time: time.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        lambda time: time.isoformat(timespec="milliseconds"),
        lambda time: time.astimezone().isoformat(timespec="microseconds"),
        lambda time: time.strftime("%Y/%m/%d %H:%M:%S.%f"),
        lambda time: time.strftime("%m/%d/%Y %H:%M:%S.%f"),
        lambda time: time.strftime("%d/%m/%Y %H:%M:%S.%f"),
        lambda time: time.strftime("%m/%d/%Y %I:%M:%S.%f %p"),
        lambda time: time.strftime("%H:%M:%S.%f"),
        lambda time: time.strftime("%H:%M:%S:%f")[:-3],
        lambda time: time.strftime("%H:%M:%S,%f")[:-3],
    ],
)
def test_dates_and_clocks_go_on_over_midnight(write: Callable[[datetime], str]) -> None:
    check([write(when(row)) for row in COUNT], within=1e-5)


def test_frames_hold_dates_and_texts() -> None:
    dates = pd.Series([when(row) for row in COUNT])
    check(dates.dt.tz_localize(None))
    check(dates.dt.tz_localize(None).to_numpy())
    check([str(row * 20) for row in COUNT])


def test_dates_that_are_none_are_named() -> None:
    good = when(0).isoformat()
    with pytest.raises(MediaCorrupt, match="'noon' at row 2, column time"):
        read([good, "noon"])
    with pytest.raises(MediaCorrupt, match="an empty cell at row 2"):
        read([good, ""])
    with pytest.raises(MediaCorrupt, match=r"2026-02-31.* at row 1"):
        read(["2026-02-31T12:00:00", good])
    with pytest.raises(MediaUnsupported, match=r"not one number per row \('noon' at row 1\)"):
        read(["noon", "midnight"])
