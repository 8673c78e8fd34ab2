"""Rows whose times are equal or out of order to rows in order, each later than the one before.

Phones hand over rows in batches: those of one batch share a time, and neighbours change places.
A log line says what was moved; beyond a bound it is an error.

Shapes: N rows, C channels.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt
from anymal.media.limits import Limits

logger = logging.getLogger(__name__)

_MOST_OUT_OF_ORDER = 0.1
# Whole seconds, as some loggers write them.
_LONGEST_BATCH_S = 1.0
# A step this much longer than usual is a gap between batches.
_LOST = 1.5
# A few rows that are there twice, rather than batches.
_FEW = 0.1


def in_order(
    name: str, values: NDArray[np.float64], time_s: NDArray[np.float64], limits: Limits
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sorts rows that changed places, drops doubles, and spreads equal times.

    Args:
        name: The file's name, for errors.
        values: [N, C], finite.
        time_s: [N], finite.
        limits: How far a row may be out of place.

    Returns:
        The rows, and their strictly increasing times.

    Raises:
        MediaCorrupt: Rows too far out of place, or too many that share a time.
    """
    if (np.diff(time_s) > 0).all():
        return values, time_s
    values, time_s = _sorted(name, values, time_s, limits)
    values, time_s = _without_doubles(name, values, time_s)
    return values, _spread(name, time_s)


def _sorted(
    name: str, values: NDArray[np.float64], time_s: NDArray[np.float64], limits: Limits
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows by time; those of one time in the order given."""
    late_s = np.maximum.accumulate(time_s) - time_s
    late = late_s > 0
    if not late.any():
        return values, time_s
    worst_s, share = float(late_s.max()), float(late.mean())
    if worst_s > limits.max_gap_s or share > _MOST_OUT_OF_ORDER:
        row = int(np.argmax(late_s > limits.max_gap_s if worst_s > limits.max_gap_s else late)) + 1
        found = f"time that does not advance at row {row} ({late_s[row - 1]:g} s back)"
        bound = f"at most {_MOST_OUT_OF_ORDER:.0%} of the rows up to {limits.max_gap_s:g} s back"
        accepted = f"rows in order of time ({bound}); cut the recording there, or sort it"
        raise MediaCorrupt(name, found, accepted)
    logger.warning(
        "%s: sorted %d rows that stood up to %.3g s too late", name, int(late.sum()), worst_s
    )
    order = np.argsort(time_s, kind="stable")
    return values[order], time_s[order]


def _without_doubles(
    name: str, values: NDArray[np.float64], time_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leaves out the few rows that repeat the row before; many equal times are batches."""
    equal = np.diff(time_s, prepend=np.nan) == 0
    doubles = equal.copy()
    doubles[1:] &= (values[1:] == values[:-1]).all(axis=1)
    if not doubles.any() or equal.mean() > _FEW:
        return values, time_s
    logger.warning("%s: left out %d rows that are there twice", name, int(doubles.sum()))
    return values[~doubles], time_s[~doubles]


def _spread(name: str, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of one time evenly over the time until the next; the last as far apart as usual."""
    starts = np.flatnonzero(np.diff(time_s, prepend=-np.inf) > 0)
    counts = np.diff([*starts, len(time_s)])
    if (counts == 1).all():
        return time_s
    if len(starts) < 2:
        found = f"the same time in all {len(time_s)} rows"
        raise MediaCorrupt(name, found, "rows in order of time, or rate_hz and no times")
    lengths = np.diff(time_s[starts])
    steps = lengths / counts[:-1]
    usual = float(np.median(steps[1:] if len(steps) > 2 else steps))
    # Longer steps are gaps; and a part of the first and of the last batch may be missing.
    steps = np.append(np.where(steps > _LOST * usual, usual, steps), usual)
    begins = time_s[starts].copy()
    if counts[0] > 1:
        begins[0] = begins[1] - steps[0] * counts[0]
    batched = counts > 1
    longest_s = max(float(lengths[batched[:-1]].max(initial=0.0)), float(counts[-1] * usual))
    if longest_s > _LONGEST_BATCH_S * 1.001:
        place = int(np.argmax(np.append(lengths, counts[-1] * usual) * batched))
        found = f"{counts[place]} rows of one time from row {starts[place] + 1}"
        accepted = f"rows that share a time for at most {_LONGEST_BATCH_S:g} s"
        raise MediaCorrupt(name, found, accepted)
    logger.warning(
        "%s: spread %d rows that share their times, over up to %.3g s each",
        name,
        int(counts[batched].sum()),
        longest_s,
    )
    within = np.arange(len(time_s)) - np.repeat(starts, counts)
    return np.repeat(begins, counts) + within * np.repeat(steps, counts)
