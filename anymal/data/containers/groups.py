"""Rows that can only be read many at once, as row groups of Parquet and batches of Arrow are.

Holds the groups that were used last, and no others. Does not know kinds of files.
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pyarrow as pa

from anymal.errors import DataError

_NUM_HELD = 2  # one that is being read, and the one before or after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Consecutive rows of one file.

    Attributes:
        file: What errors call the file.
        first: Number of the first row in its file, from 0.
        size: Number of rows.
        read: Reads them; is given the columns to read, or None for all.
    """

    file: str
    first: int
    size: int
    read: Callable[[list[str] | None], pa.Table | pa.RecordBatch]


class GroupedRows:
    """Rows of one or several tables, a few groups of them in memory; may be read from threads.

    Args:
        groups: In order.
        schema: Of the first file; the others have the same columns.
    """

    def __init__(self, groups: Sequence[Group], schema: pa.Schema) -> None:
        self.schema = schema
        self._groups = [group for group in groups if group.size]
        self._ends = array("Q")
        for group in self._groups:
            self._ends.append((self._ends[-1] if self._ends else 0) + group.size)
        self._held: OrderedDict[int, pa.Table | pa.RecordBatch] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        number, row = self._place(index)
        with self._lock:
            if number not in self._held:
                while len(self._held) >= _NUM_HELD:  # before the next one is read, not after
                    self._held.popitem(last=False)
                self._held[number] = _read(self._groups[number], None)
            self._held.move_to_end(number)
            table = self._held[number]
        found: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
        return found

    def where(self, index: int) -> str:
        """Return `file:row` of a row, the first being 1."""
        number, row = self._place(index)
        group = self._groups[number]
        return f"{group.file}:{group.first + row + 1}"

    def column(self, name: str) -> Iterator[Any]:
        """Every value of one column, in order; the other columns are not read."""
        for group in self._groups:
            yield from _read(group, [name])[name].to_pylist()

    def _place(self, index: int) -> tuple[int, int]:
        """The number of a row's group, and the row's number in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)


def _read(group: Group, columns: list[str] | None) -> pa.Table | pa.RecordBatch:
    """Read a group; a damaged one is an error of the row that was asked for."""
    try:
        return group.read(columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{group.file}:{group.first + 1}: the {group.size:,} rows from here cannot be read "
            f"({error}); the file is damaged"
        ) from error
