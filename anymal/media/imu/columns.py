"""Named columns, rows and values in memory to the table of a motion recording.

It reads no files and converts no units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anymal.errors import MediaEmpty, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.imu.chosen import stated_units, used_columns
from anymal.media.imu.names import units_of_maker
from anymal.media.imu.stamps import seconds_of
from anymal.media.limits import Limits
from encoders.signals import MOTION_CHANNELS

_ROWS = "rows of 3 or 6 numbers; to include the time, name the columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A motion recording as it was stored.

    Attributes:
        channels: Of ax, ay, az, gx, gy, gz those that there are; each [N] float64.
        clock: Makes the times of the rows in seconds, or None where the rows have none.
        rate_hz: The rate that the file itself states, if any.
        units: By sensor, "a" or "g", the unit that the file itself states.
    """

    channels: Mapping[str, NDArray[np.float64]]
    clock: Callable[[], NDArray[np.float64]] | None = None
    rate_hz: float | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def time_s(self) -> NDArray[np.float64] | None:
        """[N] float64, or None where the rows have no times; an error where they tell no unit."""
        return None if self.clock is None else self.clock()


def table_of_columns(
    name: str,
    columns: Mapping[Any, Any],
    limits: Limits,
    *,
    rate_hz: float | None = None,
    units: Mapping[str, str] | None = None,
) -> Table:
    """Makes a table of named columns, reading those that `used_columns` knows.

    Args:
        name: The file's name, for errors.
        columns: Values by name of column.
        limits: How many rows are accepted.
        rate_hz: The rate that the file itself states, if any.
        units: Of "a" and "g", those that more than the columns' names tell, if any do.

    Returns:
        The table.

    Raises:
        MediaError: Unknown names, columns of unequal lengths, no rows, too many, or not numbers.
    """
    used = used_columns(name, columns)
    by_text = {str(column): column for column in columns}
    clock = None
    channels: dict[str, NDArray[np.float64]] = {}
    lengths = set()
    for column, named in used.items():
        values = columns[by_text[column]]
        if named.meaning == "time":
            times = _flat(name, column, values)
            lengths.add(len(times))
            clock = partial(seconds_of, name, column, times, named.unit)
        else:
            channels[named.meaning] = _numbers(name, column, values)
            lengths.add(len(channels[named.meaning]))
    if len(lengths) > 1:
        raise MediaUnsupported(name, "columns of unequal lengths", "as many values in each")
    check_rows(name, lengths.pop(), limits)
    makers = units_of_maker(by_text) if units is None else units
    stated = {**makers, **stated_units(name, used)}
    return Table(channels=channels, clock=clock, rate_hz=rate_hz, units=stated)


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
            return _table_of_objects(name, samples, limits, rate_hz)
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


def _table_of_objects(
    name: str, rows: Sequence[Any], limits: Limits, rate_hz: float | None
) -> Table:
    """Objects by row, the columns that are read alone; what a row lacks is a missing value."""
    for row, values in enumerate(rows, start=1):
        if not isinstance(values, Mapping):
            raise MediaUnsupported(name, f"row {row}, which has no names", "names in every row")
    names = list(dict.fromkeys(column for row in rows for column in row))
    used = used_columns(name, names)
    columns = {column: [row.get(column) for row in rows] for column in names if str(column) in used}
    makers = units_of_maker(map(str, names))
    return table_of_columns(name, columns, limits, rate_hz=rate_hz, units=makers)


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


def _flat(name: str, column: str, values: Any) -> NDArray[Any]:
    """A column as it is, one value for each row."""
    # NumPy would give every text the length of the longest.
    has_texts = isinstance(values, Sequence) and any(isinstance(value, str) for value in values)
    try:
        array = np.asarray(values, dtype=object if has_texts else None)
    except ValueError:
        array = np.empty((0, 0))
    if array.ndim != 1:
        found = f"a column {column[:40]} that is not one number per row"
        raise MediaUnsupported(name, found, "numbers")
    return array


def _numbers(name: str, column: str, values: Any) -> NDArray[np.float64]:
    """A column as float64, also where its numbers are texts; dates and lists are refused."""
    array = _flat(name, column, values)
    try:
        if array.dtype.kind in "iufO":
            return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        pass
    raise MediaUnsupported(
        name, f"a column {column[:40]} that is not one number per row", "numbers"
    )
