"""Counted values in a few bins, for people and for JSON.

Does not count (see `run`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_BINS = 10
_BAR = 40  # characters of the longest bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Values from `low` up to and with `high`, and how many there are."""

    low: float
    high: float
    count: int


def bins_of(counted: Counter[float]) -> list[Bin]:
    """Sort values into at most ten bins of equal width; few values have a bin each.

    Args:
        counted: How often each value was met.

    Returns:
        The bins from the first to the last that holds a value; none for no values.
    """
    values = sorted(counted)
    if len(values) <= _BINS:
        return [Bin(low=value, high=value, count=counted[value]) for value in values]
    low, high = values[0], values[-1]
    width = (high - low) / _BINS
    members: list[list[float]] = [[] for _ in range(_BINS)]
    for value in values:
        members[min(_BINS - 1, int((value - low) / width))].append(value)
    return [
        Bin(low=inside[0], high=inside[-1], count=sum(counted[value] for value in inside))
        for inside in members
        if inside
    ]


def bars(bins: list[Bin]) -> Iterator[str]:
    """Draw bins as lines of text.

    Args:
        bins: From `bins_of`.

    Yields:
        A line for each.
    """
    most = max((each.count for each in bins), default=0)
    names = [_name(each) for each in bins]
    width = max(map(len, names), default=0)
    for name, each in zip(names, bins, strict=True):
        bar = "#" * max(1, round(_BAR * each.count / most))
        yield f"{name:>{width}} {bar} {each.count:,}"


def _name(each: Bin) -> str:
    """The values of a bin."""
    return f"{each.low:,g}" if each.low == each.high else f"{each.low:,g} to {each.high:,g}"
