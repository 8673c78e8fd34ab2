"""A few seconds of a long motion recording in CSV, found by bisection and cut out as CSV.

The times in the file have to ascend. Does not decode the numbers: the cut is a small recording,
which `anymal.media.imu` reads as it reads any other.
"""

import math
import mmap
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anymal.data.containers.mapped import mapped
from anymal.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Part of a recording.

    Attributes:
        data: CSV, with the header.
        times: Of its lines.
    """

    data: bytes
    times: list[float]


class MotionCsv:
    """One recording, with a header line and one line for each sample.

    Args:
        path: The file.
        clock: Name of the column with the times.

    Raises:
        DataError: The file cannot be read, or lacks that column.
    """

    def __init__(self, path: Path, *, clock: str) -> None:
        self.path = path
        self._data: mmap.mmap = mapped(path)
        header, _, _ = self._data[: 2**16].partition(b"\n")
        names = [name.strip() for name in header.decode("utf-8-sig").split(",")]
        if clock not in names:
            raise DataError(f"{path} has no column {clock!r}; it has {', '.join(names)}")
        self._column = names.index(clock)
        self._first = len(header) + 1

    def last_time(self) -> float:
        """The time of the last sample; 0 if there are none."""
        end = len(self._data)
        while end > self._first:
            start = self._data.rfind(b"\n", 0, end - 1) + 1
            if start >= self._first and math.isfinite(time := self._time(start, end)):
                return time
            end = start
        return 0.0

    def cut(self, start: float, end: float) -> Cut:
        """The header and the lines with times from `start` up to `end`, which is left out.

        Raises:
            DataError: A time is no number.
        """
        begin = bisect_left(
            range(len(self._data)), start, lo=min(self._first, len(self._data)), key=self._time_at
        )
        lines, times = [self._data[: self._first].rstrip(b"\r\n")], []
        for line, time in self._lines(begin):
            if time >= end:
                break
            lines.append(line)
            times.append(time)
        return Cut(data=b"\n".join(lines) + b"\n", times=times)

    def _time_at(self, offset: int) -> float:
        """The time of the first line that begins at a place or after it; inf if there is none."""
        return next((time for _, time in self._lines(offset)), math.inf)

    def _lines(self, offset: int) -> Iterator[tuple[bytes, float]]:
        """The lines that begin at a place or after it and have a time, each with it."""
        start = self._data.find(b"\n", offset - 1) + 1 or len(self._data)
        while start < len(self._data):
            end = self._data.find(b"\n", start) + 1 or len(self._data)
            if math.isfinite(time := self._time(start, end)):
                yield self._data[start:end].rstrip(b"\r\n"), time
            start = end

    def _time(self, start: int, end: int) -> float:
        """The time in one line; not a number where the line has none."""
        cells = self._data[start:end].split(b",")
        cell = cells[self._column].strip() if self._column < len(cells) else b""
        try:
            return float(cell or "nan")
        except ValueError as error:
            raise DataError(f"{self.path}: {cell[:40]!r} is no time") from error
