"""Equal and swapped times are mended within a bound, and told."""

import logging
from typing import Any

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits

RATE_HZ = 50


def columns(time_s: np.ndarray, truly_s: np.ndarray | None = None) -> dict[str, Any]:
    truth = time_s if truly_s is None else truly_s
    return {"t_s": time_s, "ax": np.sin(truth), "ay": np.cos(truth), "az": 9.8 + 0 * truth}


def even(num_rows: int = 200) -> np.ndarray:
    return np.arange(num_rows) / RATE_HZ


def check(given: dict[str, Any], num_rows: int = 200, within: float = 1e-3) -> None:
    motion = decode_imu(given, Limits())
    assert motion.rate_hz == pytest.approx(RATE_HZ, rel=2e-3)
    assert abs(len(motion.samples) - num_rows) <= 1
    t = np.arange(len(motion.samples)) / motion.rate_hz
    assert motion.samples[:, 0] == pytest.approx(np.sin(t), abs=within)


def test_neighbours_that_changed_places_are_sorted(caplog: pytest.LogCaptureFixture) -> None:
    swapped = even()
    swapped[[7, 8, 90, 91]] = swapped[[8, 7, 91, 90]]
    with caplog.at_level(logging.WARNING):
        check(columns(swapped))
    assert "sorted 2 rows that stood up to 0.02 s too late" in caplog.text


@pytest.mark.parametrize("size", [2, 4, 10, 50])
def test_rows_that_share_a_time_are_spread(size: int, caplog: pytest.LogCaptureFixture) -> None:
    batched = np.repeat(even()[::size], size)
    with caplog.at_level(logging.WARNING):
        check(columns(batched, even()))
    assert "spread 200 rows that share their times" in caplog.text


def test_batches_may_begin_and_end_in_part() -> None:
    """Whole seconds, as some loggers write them, of which the first and the last are cut."""
    truth = even(230) + 0.6
    motion = decode_imu(columns(np.floor(truth + 1e-9), truth), Limits())
    assert motion.rate_hz == pytest.approx(RATE_HZ, rel=2e-3)
    t = 0.6 + np.arange(len(motion.samples)) / motion.rate_hz
    assert motion.samples[:, 0] == pytest.approx(np.sin(t), abs=1e-2)


def test_a_row_that_is_there_twice_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    twice = np.sort(np.append(even(), even()[[5, 90]]))
    with caplog.at_level(logging.WARNING):
        check(columns(twice))
    assert "left out 2 rows that are there twice" in caplog.text


def test_gaps_between_batches_stay_gaps() -> None:
    batched = np.repeat(even()[::4], 4)
    batched[100:] += 0.4
    with pytest.raises(MediaCorrupt, match=r"a gap of 0\.4"):
        decode_imu(columns(batched), Limits())


@pytest.mark.parametrize("rate_hz", [None, RATE_HZ])
def test_beyond_the_bound_only_equal_times_are_left_for_a_declared_rate(
    rate_hz: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    shuffled = np.random.default_rng(0).permutation(even())
    stuck = np.zeros(200)
    resets = np.tile(even(10), 20)
    slow = np.repeat(np.arange(4.0) * 2, 50)
    for time_s in (shuffled, stuck, resets, slow):
        caplog.clear()
        runs_back = (np.diff(time_s) < 0).any()
        if rate_hz is None or runs_back:
            with pytest.raises(MediaCorrupt, match=r"advance|same time|rows of one time"):
                decode_imu(columns(time_s), Limits(), rate_hz=rate_hz)
            continue
        with caplog.at_level(logging.WARNING):
            motion = decode_imu(columns(time_s, even()), Limits(), rate_hz=rate_hz)
        assert motion.samples[:, 0] == pytest.approx(np.sin(even()), abs=1e-6)
        assert "the declared rate of 50 Hz is used instead" in caplog.text


def test_a_declared_rate_still_agrees_with_times_that_can_be_read() -> None:
    batched = np.repeat(even()[::4], 4)
    assert decode_imu(columns(batched, even()), Limits(), rate_hz=50)
    with pytest.raises(MediaUnsupported, match="a declared rate of 100 Hz"):
        decode_imu(columns(batched), Limits(), rate_hz=100)
