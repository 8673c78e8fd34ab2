"""The entries of one large JSON object, each parsed when it is asked for.

Keeps 32 bytes for an entry: where it is, and a hash of its key. Does not interpret values.
"""

import json
from array import array
from pathlib import Path
from typing import Any

from anymal.data.containers.json_array import check_nothing_follows, spans
from anymal.data.containers.key_index import KeyIndex
from anymal.data.containers.mapped import mapped
from anymal.errors import DataError

_DECODER = json.JSONDecoder()
_LONGEST_KEY = 4096  # bytes


class JsonObject:
    """Key -> value, and the entries in the order of the file; may be read from threads.

    Args:
        path: The file.
        inside: A key of the whole, whose value is the object; None for the whole.

    Raises:
        DataError: There is no such object, or it is not whole.
    """

    def __init__(self, path: Path, inside: str | None = None) -> None:
        self.path = path
        self._data = mapped(path)
        self._starts, self._ends = array("Q"), array("Q")
        for start, end in spans(path, 0 if inside is None else self._start_of(inside)):
            self._starts.append(start)
            self._ends.append(end)
        if inside is None and self._ends:
            check_nothing_follows(path, self._ends[-1] + 1, "object")
        self._index = KeyIndex(map(self.key, range(len(self))))

    def __len__(self) -> int:
        return len(self._starts)

    def key(self, number: int) -> str:
        """The key of an entry, counted from 0."""
        return self._key(self._starts[number], self._ends[number])[0]

    def value(self, number: int) -> Any:
        """The value of an entry, counted from 0.

        Raises:
            DataError: It is no JSON.
        """
        entry = self._data[self._starts[number] : self._ends[number]]
        try:
            return next(iter(json.loads(b"{" + entry + b"}").values()))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.where(number)}: not valid JSON ({error})") from error

    def find(self, key: str) -> int | None:
        """The number of the entry with a key, or None."""
        return next((number for number in self._index.find(key) if self.key(number) == key), None)

    def where(self, number: int) -> str:
        """Return `file:key` of an entry."""
        return f"{self.path}:{self.key(number)}"

    def _start_of(self, inside: str) -> int:
        """Where the value of an entry of the whole begins."""
        for start, end in spans(self.path):
            key, length = self._key(start, end)
            if key == inside:
                return self._data.find(b":", start + length) + 1
        raise DataError(f"{self.path} has no key {inside!r}")

    def _key(self, start: int, end: int) -> tuple[str, int]:
        """The key that the entry at a place begins with, and its length in the file in bytes."""
        head = self._data[start : min(end, start + _LONGEST_KEY)]
        stripped = head.lstrip()
        text = stripped.decode("utf-8", errors="ignore")  # may be cut within a character
        try:
            key, length = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.path}: at byte {start:,} begins no entry of an object"
            ) from error
        return str(key), len(head) - len(stripped) + len(text[:length].encode())
