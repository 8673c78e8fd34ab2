"""Times as they are written - numbers in any unit, dates, clocks - to seconds.

It does not judge whether they advance.
"""

import logging
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.imu.units import SECONDS
from anymal.media.source import shorten

logger = logging.getLogger(__name__)

_DAY_S = 86_400.0
_FIRST_DAY = date(1970, 1, 1).toordinal()
_ISO_DAY = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_OTHER_DAY = r"(?P<first>\d{1,2})[/.](?P<second>\d{1,2})[/.](?P<last>\d{4})"
_STAMP = re.compile(
    rf"(?:(?:{_ISO_DAY}|{_OTHER_DAY})(?:[T ]\s*|$))?"
    r"(?:(?P<hours>\d{1,2}):(?P<minutes>\d{2}):(?P<seconds>\d{2})(?:[.,:]\d{1,9})?"
    r"\s*(?P<half>[AaPp][Mm])?\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_PART = re.compile(r"(\d{1,2}:\d{2}:\d{2})[.,:](\d{1,9})")
# Seconds since 1970 between the years 2001 and 2286, in rows that follow each other so soon.
_EPOCH_S, _EPOCH_STEP_S = (1e9, 1e10), 2.0
# Steps between rows: 2 to about 700 Hz, in which no two units overlap.
_STEPS_S = (0.0015, 0.5)


def seconds_of(name: str, column: str, values: Any, unit: str | None) -> NDArray[np.float64]:
    """Times in seconds: since 1970 where the file states that, else from any starting point.

    Args:
        name: The file's name, for errors.
        column: The column's name, for errors.
        values: [N] numbers, dates as NumPy holds them, or texts.
        unit: The unit that the name of the column states, or None: then their size tells it.

    Returns:
        [N] float64.

    Raises:
        MediaError: Not times, or numbers whose size tells no unit.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise MediaUnsupported(name, f"a column {shorten(column)} of lists", "one time per row")
    if array.dtype.kind == "M":
        nanoseconds = array.astype("datetime64[ns]").astype(np.int64)
        return nanoseconds.astype(np.float64) * 1e-9
    if array.dtype.kind in "OUS":
        texts = [str(value).strip() for value in array.tolist()]
        if texts and is_stamp(texts[0]):
            return _stamps(name, column, texts)
    try:
        numbers = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        found = f"a column {shorten(column)} that is not one number per row{_first_odd(array)}"
        raise MediaUnsupported(name, found, "numbers, or dates such as ISO 8601") from error
    return numbers * SECONDS[unit or _unit_by_size(name, column, numbers)]


def is_stamp(text: str) -> bool:
    """Whether a text is a date, a time of the day, or both."""
    text = text.strip()
    return bool(text) and _STAMP.fullmatch(text) is not None


def is_clock(values: NDArray[np.float64]) -> bool:
    """Whether numbers without a name are times: since 1970, or rising from row to row."""
    if len(values) < 2 or not np.isfinite(values).all():
        return False
    if _epoch_unit(values) is not None:
        return True
    return bool((np.diff(values) > 0).all()) and _step_unit(values) is not None


def _first_odd(values: NDArray[Any]) -> str:
    """The first value that is no number, in words."""
    for row, value in enumerate(values.tolist(), start=1):
        try:
            float(value)
        except (ValueError, TypeError, OverflowError):
            return f" ({shorten(str(value))!r} at row {row})"
    return ""


def _unit_by_size(name: str, column: str, values: NDArray[np.float64]) -> str:
    """The unit of times since 1970, by their size; of others, by the steps between rows."""
    unit = _epoch_unit(values) or _step_unit(values)
    if unit is None:
        found = f"a column {shorten(column)} of no unit, whose size does not tell it"
        accepted = (
            "t_s, t_ms, t_us or t_ns; or declare rate_hz (on the command line: --imu-rate-hz)"
        )
        raise MediaUnsupported(name, found, accepted)
    logger.info("%s: times of %s read in %s, as their size tells", name, column.strip(), unit)
    return unit


def _epoch_unit(values: NDArray[np.float64]) -> str | None:
    """The unit of times since 1970."""
    finite = values[np.isfinite(values)]
    usual = float(np.median(finite)) if len(finite) else 0.0
    low, high = _EPOCH_S
    for unit, seconds in SECONDS.items():
        if low <= usual * seconds < high and _usual_step(values) * seconds <= _EPOCH_STEP_S:
            return unit
    return None


def _step_unit(values: NDArray[np.float64]) -> str | None:
    """The unit in which rows follow each other as those of a motion sensor do."""
    step = _usual_step(values)
    low, high = _STEPS_S
    for unit, seconds in SECONDS.items():
        # No unit is coarser than seconds, so a shorter step can only be in seconds.
        if (low <= step * seconds or unit == "s") and 0 < step * seconds <= high:
            return unit
    return None


def _usual_step(values: NDArray[np.float64]) -> float:
    """The median step between unlike values that follow each other; 0 where there is none."""
    steps = np.abs(np.diff(values))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(np.median(steps)) if len(steps) else 0.0


def _stamps(name: str, column: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Dates and times of the day to seconds; times of the day go on over midnight."""
    whole: dict[str, float] = {}
    has_days = True
    seconds = np.empty(len(texts))
    for row, text in enumerate(texts):
        # Many rows share a second, so only its first row is taken apart.
        part = _PART.search(text)
        stamp = text if part is None else text[: part.end(1)] + text[part.end(2) :]
        if stamp not in whole:
            found = _STAMP.fullmatch(stamp) if stamp else None
            if found is None or (found["hours"] is None and found["year"] is None):
                what = f"{shorten(text)!r}" if text else "an empty cell"
                where = f"{what} at row {row + 1}, column {shorten(column)}"
                raise MediaCorrupt(name, where, "a date and time in every row")
            has_days = has_days and (found["year"] or found["last"]) is not None
            whole[stamp] = _day(name, column, row, found) + _second_of_day(found)
        seconds[row] = whole[stamp] + (0.0 if part is None else float(f"0.{part[2]}"))
    return seconds if has_days else np.unwrap(seconds, period=_DAY_S)


def _day(name: str, column: str, row: int, found: re.Match[str]) -> float:
    """Seconds up to a day; without a day, 0."""
    if found["year"] is None and found["last"] is None:
        return 0.0
    year = int(found["year"] or found["last"])
    month = int(found["month"] or found["first"])
    day = int(found["day"] or found["second"])
    if month > 12:  # 21/9/2026
        month, day = day, month
    try:
        return (date(year, month, day).toordinal() - _FIRST_DAY) * _DAY_S
    except ValueError as error:
        where = f"{shorten(found[0])!r} at row {row + 1}, column {shorten(column)}"
        raise MediaCorrupt(name, where, "a day that there is") from error


def _second_of_day(found: re.Match[str]) -> float:
    """Seconds since midnight, in UTC where the file states the zone."""
    if found["hours"] is None:
        return 0.0
    hours = int(found["hours"])
    if found["half"]:
        hours = hours % 12 + (12 if found["half"].lower() == "pm" else 0)
    seconds = 3600.0 * hours + 60.0 * int(found["minutes"]) + int(found["seconds"])
    zone = found["zone"]
    if zone and zone[0] in "+-":
        offset = 3600 * int(zone[1:3]) + 60 * int(zone[-2:])
        seconds -= offset if zone[0] == "+" else -offset
    return seconds
