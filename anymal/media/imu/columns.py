"""What the columns of a motion recording may be called, and the table that they make.

It reads no files, and knows no units but those in the names of time columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaEmpty, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from encoders.signals import MOTION_CHANNELS

ACCEPTED_COLUMNS = (
    "columns named t_s, ax, ay, az, gx, gy, gz (or as in Ego4D: canonical_timestamp_ms, accl_x ... "
    "gyro_z), the time optional where rate_hz is declared; or 3 or 6 columns without names"
)

_ROWS = "rows of 3 or 6 numbers; to include the time, name the columns"
_SECONDS_PER_UNIT = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
CLOCKS = {
    f"{stem}_{unit}": seconds
    for stem in ("t", "time", "timestamp", "canonical_timestamp")
    for unit, seconds in _SECONDS_PER_UNIT.items()
}
_UNITLESS_CLOCKS = ("t", "time", "timestamp")
_STEMS = {"a": ("a", "acc_", "accl_", "accel_"), "g": ("g", "gyr_", "gyro_")}
CHANNELS = {
    f"{stem}{channel[1]}": channel for channel in MOTION_CHANNELS for stem in _STEMS[channel[0]]
}
_FEW_NAMES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A motion recording as it was stored.

    Attributes:
        channels: Of ax, ay, az, gx, gy, gz those that there are; each [N] float64.
        time_s: [N] float64, or None where the rows have no times.
        rate_hz: The rate that the file itself states, if any.
    """

    channels: Mapping[str, NDArray[np.float64]]
    time_s: NDArray[np.float64] | None = None
    rate_hz: float | None = None


def used_columns(name: str, columns: Iterable[object]) -> dict[str, str]:
    """Tells which columns are read, and as what; others are ignored.

    Args:
        name: The file's name, for errors.
        columns: All names of columns; case and surrounding blanks do not matter.

    Returns:
        For each column that is read, by the name given: "time", or the channel.

    Raises:
        MediaUnsupported: None is known, two mean the same, or a group of three is not whole.
    """
    given = [str(column) for column in columns]
    plain = [column.strip().strip('"').lower() for column in given]
    meanings = [("time" if key in CLOCKS else CHANNELS.get(key)) for key in plain]
    used = {
        column: meaning
        for column, meaning in zip(given, meanings, strict=True)
        if meaning is not None
    }
    found = f"the columns {_listed(given)}" if given else "no columns"
    known = [meaning for meaning in meanings if meaning is not None]
    if len(known) > len(set(known)):
        raise MediaUnsupported(name, f"{found}, two of which mean the same", ACCEPTED_COLUMNS)
    if "time" not in known and any(key in _UNITLESS_CLOCKS for key in plain):
        raise MediaUnsupported(name, f"{found}, with a time of no unit", "t_s, t_ms, t_us or t_ns")
    _check_groups(name, found, set(known))
    return used


def clock_scale(column: str) -> float:
    """Seconds in a unit of a time column, told from its name."""
    return CLOCKS[column.strip().strip('"').lower()]


def table_of_columns(
    name: str, columns: Mapping[Any, Any], limits: Limits, *, rate_hz: float | None = None
) -> Table:
    """Makes a table of named columns, reading those that `used_columns` knows.

    Args:
        name: The file's name, for errors.
        columns: Values by name of column.
        limits: How many rows are accepted.
        rate_hz: The rate that the file itself states, if any.

    Returns:
        The table.

    Raises:
        MediaError: Unknown names, columns of unequal lengths, no rows, too many, or not numbers.
    """
    used = used_columns(name, columns)
    by_text = {str(column): column for column in columns}
    time_s = None
    channels: dict[str, NDArray[np.float64]] = {}
    for column, meaning in used.items():
        values = _numbers(name, column, columns[by_text[column]])
        if meaning == "time":
            time_s = values * clock_scale(column)
        else:
            channels[meaning] = values
    lengths = {len(values) for values in channels.values()}
    if len(lengths | ({len(time_s)} if time_s is not None else set())) > 1:
        raise MediaUnsupported(name, "columns of unequal lengths", "as many values in each")
    check_rows(name, lengths.pop(), limits)
    return Table(channels=channels, time_s=time_s, rate_hz=rate_hz)


def table_of_rows(
    name: str, rows: NDArray[Any], limits: Limits, *, rate_hz: float | None = None
) -> Table:
    """Makes a table of rows without names: 3 columns of acceleration, or 6 with rotation.

    Args:
        name: The file's name, for errors.
        rows: [N, 3] or [N, 6] numbers.
        limits: How many rows are accepted.
        rate_hz: The rate that the file itself states, if any.

    Returns:
        The table.

    Raises:
        MediaError: Another shape, no rows, too many, or not numbers.
    """
    if rows.ndim != 2 or rows.shape[1] not in (3, 6):
        raise MediaUnsupported(name, f"values of shape {list(rows.shape)}", _ROWS)
    check_rows(name, len(rows), limits)
    channels = zip(MOTION_CHANNELS, rows.T, strict=False)
    return Table(
        channels={channel: _numbers(name, channel, values) for channel, values in channels},
        rate_hz=rate_hz,
    )


def table_of_samples(
    name: str, samples: Any, limits: Limits, *, rate_hz: float | None = None
) -> Table:
    """Makes a table of values in memory.

    Args:
        name: What errors call them.
        samples: Rows (lists or an array), objects by row, columns by name, or a DataFrame.
        limits: How many rows are accepted.
        rate_hz: The rate stated beside them, if any.

    Returns:
        The table.

    Raises:
        MediaError: Another type, unknown columns, no rows, too many, or not numbers.
    """
    columns = getattr(samples, "columns", None)
    if isinstance(samples, Mapping):
        return table_of_columns(name, samples, limits, rate_hz=rate_hz)
    if columns is not None and not all(isinstance(column, int) for column in columns):
        by_name = {column: samples[column] for column in columns}
        return table_of_columns(name, by_name, limits, rate_hz=rate_hz)
    if columns is not None or isinstance(samples, np.ndarray):
        return _table_of_array(name, np.asarray(samples), limits, rate_hz)
    if isinstance(samples, Sequence) and not isinstance(samples, str | bytes):
        check_rows(name, len(samples), limits)
        if isinstance(samples[0], Mapping):
            return table_of_columns(name, _by_column(name, samples), limits, rate_hz=rate_hz)
        return table_of_rows(name, _rectangle(name, samples), limits, rate_hz=rate_hz)
    raise MediaUnsupported(name, f"a {type(samples).__name__}", "rows, columns, or a DataFrame")


def check_rows(name: str, num_rows: int, limits: Limits) -> None:
    """Refuses a recording without rows, or with more than the limit."""
    if num_rows == 0:
        raise MediaEmpty(name, "a recording without rows", "at least one row")
    if num_rows > limits.max_motion_samples:
        raise MediaTooLarge(
            name, f"{num_rows:,} rows or more", f"at most {limits.max_motion_samples:,} rows"
        )


def _table_of_array(name: str, array: NDArray[Any], limits: Limits, rate_hz: float | None) -> Table:
    """An array with named fields is columns; any other is rows."""
    if array.dtype.names is None:
        return table_of_rows(name, array, limits, rate_hz=rate_hz)
    fields = {field: array[field] for field in array.dtype.names}
    return table_of_columns(name, fields, limits, rate_hz=rate_hz)


def _by_column(name: str, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Objects by row to lists by column; the first row tells which columns there are."""
    for row, values in enumerate(rows, start=1):
        if not isinstance(values, Mapping):
            raise MediaUnsupported(name, f"row {row}, which has no names", "names in every row")
    return {column: [row.get(column) for row in rows] for column in rows[0]}


def _rectangle(name: str, rows: Sequence[Any]) -> NDArray[Any]:
    """Rows to an array, or the first row that does not fit."""
    try:
        width = len(rows[0])
        for row, values in enumerate(rows, start=1):
            if len(values) != width:
                found = f"row {row} of {len(values)} values after rows of {width}"
                raise MediaUnsupported(name, found, "3 or 6 values in every row")
        return np.asarray(rows)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaUnsupported(name, "rows that are not lists of numbers", _ROWS) from error


def _check_groups(name: str, found: str, known: set[str]) -> None:
    """Acceleration and rotation come with all three axes or not at all."""
    for group in (MOTION_CHANNELS[:3], MOTION_CHANNELS[3:]):
        missing = [channel for channel in group if channel not in known]
        if 0 < len(missing) < len(group):
            raise MediaUnsupported(name, f"{found}, without {', '.join(missing)}", ACCEPTED_COLUMNS)
    if not known - {"time"}:
        raise MediaUnsupported(name, f"{found}, none of which is known", ACCEPTED_COLUMNS)


def _listed(columns: list[str]) -> str:
    """The first names of a list, each cut to a length that can be read."""
    few = ", ".join(column.strip()[:40] for column in columns[:_FEW_NAMES])
    return few if len(columns) <= _FEW_NAMES else f"{few}, ... ({len(columns)} in all)"


def _numbers(name: str, column: str, values: Any) -> NDArray[np.float64]:
    """A column as float64; text, dates and nested lists are refused."""
    try:
        array = np.asarray(values)
        if array.ndim == 1 and array.dtype.kind in "iufO":
            return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        pass
    raise MediaUnsupported(
        name, f"a column {column[:40]} that is not one number per row", "numbers"
    )
