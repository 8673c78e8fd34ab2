"""JSON arrays, and the items of objects: found once by a scan for brackets, each parsed on access.

Does not keep the file or its items: only their offsets stay in memory.
"""

import re
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from anymal.data.containers.raw import parse_object
from anymal.errors import DataError

_READ_BYTES = 2**20
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# What leads to the next bracket, strings skipped. UTF-8 has none of these bytes in its characters.
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+[{}\[\]]", re.DOTALL)
# The same for the outermost level, where commas part the items.
_TO_COMMA = re.compile(rb'(?:[^"{}\[\],]++|' + _STRING + rb")*+[{}\[\],]", re.DOTALL)

# Most items are at most three levels deep. One match finds such an item and the mark that ends it.
_FLAT = rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+"
_TWO = rb"(?:[^\"{}\[\]]++|" + _STRING + rb"|[{\[]" + _FLAT + rb"[}\]])*+"
_THREE = rb"(?:[^\"{}\[\]]++|" + _STRING + rb"|[{\[]" + _TWO + rb"[}\]])*+"
_ITEM = re.compile(
    rb"\s*+(?:" + _STRING + rb"\s*+:\s*+)?+[{\[]" + _THREE + rb"[}\]]\s*+[,}\]]", re.DOTALL
)
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1, b",": 0}


class JsonArray:
    """The objects of a JSON array, by number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array("Q")
        self._ends = array("Q")
        for start, end in spans(path):
            self._starts.append(start)
            self._ends.append(end)
        if self._ends:
            check_nothing_follows(path, self._ends[-1] + 1, "array")

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self._starts[index])
            text = file.read(self._ends[index] - self._starts[index])
        if not text.strip():
            raise DataError(
                f"{self.where(index)}: nothing stands before or behind a comma; remove the comma"
            )
        return parse_object(text, where=self.where(index))

    def where(self, index: int, /) -> str:
        """Return `file:number of the element`."""
        return f"{self.path}:{range(len(self))[index] + 1}"


def spans(path: Path, start: int = 0) -> Iterator[tuple[int, int]]:
    """Find the items of an array or an object, without parsing them.

    Args:
        path: A JSON file in UTF-8.
        start: Byte at which the array or object begins; white space may be before it.

    Yields:
        Offsets of the first byte of each item and of the one after its last. Items of an object
        are `"key": value`.

    Raises:
        DataError: The array or object has no end; the message says in which item the file ends.
    """
    with path.open("rb") as file:
        text = _Text(file, start)
        text.skip_to(_TO_BRACKET)
        number, depth, first, is_blank = 1, 1, text.place, True
        while depth:
            if is_blank and (mark := text.skip_over(_ITEM)):
                yield first, text.place - 1
                number, first, depth = number + 1, text.place, depth + _DEPTH[mark]
                continue
            lead, mark = text.skip_to(_TO_COMMA if depth == 1 else _TO_BRACKET)
            if not mark:
                raise DataError(
                    f"{path}:{number}: this item begins at byte {first:,} and has no end; the "
                    "file is cut short, or a quote or a bracket is missing here"
                )
            depth += _DEPTH[mark]
            is_blank = is_blank and mark not in b"[{" and not lead.strip()
            if depth == 0 or mark == b",":
                if mark == b"," or number > 1 or not is_blank:
                    yield first, text.place - 1
                number, first, is_blank = number + 1, text.place, True


class _Text:
    """A file from some byte on, of which a piece is in memory.

    Attributes:
        place: Offset of the next byte.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        file.seek(start)
        self._file = file
        self._piece = b""
        self._next = 0
        self.place = start

    def skip_to(self, pattern: re.Pattern[bytes]) -> tuple[bytes, bytes]:
        """Move behind the next mark; returns what led to it, and the mark: none at the end."""
        while (match := pattern.match(self._piece, self._next)) is None:
            left = self._piece[self._next :]
            # As much again: a long string is then not read over and over.
            if not (more := self._file.read(max(_READ_BYTES, len(left)))):
                return left, b""
            self._piece, self._next = left + more, 0
        found, self._next = match.group(), match.end()
        self.place += len(found)
        return found[:-1], found[-1:]

    def skip_over(self, pattern: re.Pattern[bytes]) -> bytes:
        """Move behind a match, if all of it is in memory; returns its last byte, or nothing."""
        if (match := pattern.match(self._piece, self._next)) is None:
            return b""
        self.place += match.end() - self._next
        self._next = match.end()
        return self._piece[self._next - 1 : self._next]


def check_nothing_follows(path: Path, end: int, kind: str) -> None:
    """Refuse a second array or object behind the first.

    Args:
        path: The file.
        end: Byte behind the bracket that ends the first.
        kind: What it is, for the message.

    Raises:
        DataError: Something else than white space is there.
    """
    with path.open("rb") as file:
        file.seek(end)
        if file.read(_READ_BYTES).strip():
            raise DataError(
                f"{path}: something follows the {kind} at byte {end:,}; join the {kind}s to one"
            )
