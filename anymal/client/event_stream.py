"""Server-sent events out of bytes that arrive in fragments of any size.

Does not read from a network and does not parse what an event carries.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event: its name (`message` where it has none) and its data."""

    name: str
    data: str


class EventDecoder:
    """Collects bytes and gives out whole events.

    NOTE: lines end at LF or CRLF only. `str.splitlines`, which httpx's `iter_lines` follows, also
    ends them at U+2028 and its like, which JSON may carry unescaped.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._name = "message"
        self._data: list[str] = []

    def push(self, fragment: bytes) -> Iterator[ServerEvent]:
        """Add bytes; yields the events that they completed."""
        *lines, self._buffer = (self._buffer + fragment).split(b"\n")
        for line in lines:
            yield from self._read(line.removesuffix(b"\r").decode())

    def _read(self, line: str) -> Iterator[ServerEvent]:
        """One line: a field, a comment, or the blank line that ends an event."""
        if not line:
            if self._data:
                yield ServerEvent(name=self._name, data="\n".join(self._data))
            self._name, self._data = "message", []
            return
        key, _, value = line.partition(":")
        if key == "data":
            self._data.append(value.removeprefix(" "))
        elif key == "event":
            self._name = value.removeprefix(" ")
