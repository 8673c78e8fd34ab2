"""JSON Lines: one object on each line that is not blank.

Does not keep the rows: only their offsets stay in memory.
"""

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.raw import parse_object


class Jsonl:
    """The rows of a JSONL file, by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = array("Q")
        self._lines = array("Q")
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._offsets.append(offset)
                    self._lines.append(number)
                offset += len(line)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            return parse_object(file.readline(), where=self.where(index))

    def where(self, index: int, /) -> str:
        """Return `file:line`."""
        return f"{self.path}:{self._lines[index]}"
