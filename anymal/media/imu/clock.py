"""Rows with times to rows at a steady rate.

It finds gaps and names their rows; it does not change the rate.

Shapes: N rows, C channels.
"""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.imu.order import in_order
from anymal.media.limits import Limits

logger = logging.getLogger(__name__)

RATES_HZ = (1.0, 10_000.0)
# Times within this share of a step from a steady grid are taken to be on it.
_JITTER = 0.1
# A step this much longer than usual is a lost row, and says nothing about the rate.
_LOST = 1.5
_BRIDGED_STEPS = 4
_RATE_TOLERANCE = 0.05
_DECLARE = "declare rate_hz (on the command line: --imu-rate-hz)"


class Steady(NamedTuple):
    """Rows at a steady rate: values [N, C] and the rate."""

    values: NDArray[np.float64]
    rate_hz: float


def steady(
    name: str,
    values: NDArray[np.float64],
    time_s: NDArray[np.float64] | None,
    declared_hz: float | None,
    limits: Limits,
) -> Steady:
    """Puts rows on a steady grid, by their times or by a declared rate.

    Jitter and single lost rows are bridged by linear interpolation, a little disorder is mended.

    Args:
        name: The file's name, for errors.
        values: [N, C], finite.
        time_s: [N], finite, or None where the rows have no times.
        declared_hz: The declared rate; must agree with the times where there are both.
        limits: How long gaps and recordings may be, and how many rows a grid may have.

    Returns:
        The rows and their rate.

    Raises:
        MediaError: No rate, a rate that cannot be, rows far out of order, a gap, too long, or too
            many rows once on the grid.
    """
    if declared_hz is not None:
        check_rate(name, declared_hz)
    if time_s is None or (len(values) == 1 and declared_hz is not None):
        if declared_hz is None:
            raise MediaUnsupported(name, "no time column and no declared rate", _DECLARE)
        check_span(name, len(values) / declared_hz, limits)
        return Steady(values, float(declared_hz))
    if len(values) == 1:
        raise MediaUnsupported(name, "one row, which tells no rate", f"two rows, or {_DECLARE}")
    try:
        values, time_s = in_order(name, values, time_s, limits)
    except MediaCorrupt as error:
        # Rows that run back may not be in the order in which they were measured.
        if declared_hz is None or (np.diff(time_s) < 0).any():
            raise
        logger.warning("%s; the declared rate of %g Hz is used instead", error, declared_hz)
        check_span(name, len(values) / declared_hz, limits)
        return Steady(values, float(declared_hz))
    rate_hz = rate_of_times(name, time_s, limits)
    check_rate(name, rate_hz)
    if declared_hz is not None and abs(declared_hz / rate_hz - 1) > _RATE_TOLERANCE:
        found = f"a declared rate of {declared_hz:g} Hz and times that make {rate_hz:g} Hz"
        raise MediaUnsupported(name, found, "a declared rate that agrees with the time column")
    time_s = time_s - time_s[0]
    check_grid(name, round(time_s[-1] * rate_hz) + 1, rate_hz, limits)
    return _on_grid(values, time_s, rate_hz)


def check_rate(name: str, rate_hz: float) -> None:
    """Refuses a rate that is not a number or that no motion sensor has."""
    low, high = RATES_HZ
    if not low <= rate_hz <= high:
        raise MediaUnsupported(name, f"a rate of {rate_hz:g} Hz", f"{low:g} to {high:g} Hz")


def check_span(name: str, seconds: float, limits: Limits) -> None:
    """Refuses a recording that is too long."""
    if seconds > limits.max_motion_seconds:
        raise MediaTooLarge(
            name, f"{seconds:,.0f} seconds", f"at most {limits.max_motion_seconds:,.0f} seconds"
        )


def check_grid(name: str, num_rows: int, rate_hz: float, limits: Limits) -> None:
    """Refuses times that make more rows than accepted: few rows can be a high rate for long."""
    if num_rows > limits.max_motion_samples:
        raise MediaTooLarge(
            name,
            f"times that make {num_rows:,} rows at {rate_hz:g} Hz",
            f"at most {limits.max_motion_samples:,} rows",
        )


def rate_of_times(name: str, time_s: NDArray[np.float64], limits: Limits) -> float:
    """The rate that times in order make, once they advance without a gap."""
    steps = np.diff(time_s)
    usual = float(np.median(steps))
    longest = max(limits.max_gap_s, _BRIDGED_STEPS * usual)
    if steps.max() > longest:
        row = int(np.argmax(steps > longest)) + 1
        found = f"a gap of {steps[row - 1]:g} s between rows {row} and {row + 1}"
        raise MediaCorrupt(name, found, f"gaps up to {longest:g} s; cut the recording there")
    check_span(name, float(time_s[-1] - time_s[0]), limits)
    # Six digits keep hours in step and make 50 Hz of 49.9999999.
    return float(f"{1 / steps[steps <= _LOST * usual].mean():.6g}")


def _on_grid(values: NDArray[np.float64], time_s: NDArray[np.float64], rate_hz: float) -> Steady:
    """The rows themselves where they are on the grid already, else interpolated onto it."""
    grid = np.arange(round(time_s[-1] * rate_hz) + 1) / rate_hz
    if len(grid) == len(time_s) and np.abs(grid - time_s).max() <= _JITTER / rate_hz:
        return Steady(values, rate_hz)
    columns = [np.interp(grid, time_s, column) for column in values.T]
    return Steady(np.stack(columns, axis=1), rate_hz)
