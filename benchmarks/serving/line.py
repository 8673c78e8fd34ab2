"""One HTTP connection that notes when each piece of an answer came: light, and not clever.

Does not decide what is asked or when. Answers are read as bytes and taken apart after their end, so
that the clock of one answer does not wait for the JSON of another.
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from anymal.client.stream import EventDecoder

PATH = "/v1/chat/completions"
_LONGEST_LINE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what became of it; times in seconds on the clock of `time.perf_counter`.

    Attributes:
        kind: What was asked, such as `image`.
        due: When it was to be sent; before `began` where the sender was late.
        began: When it was sent.
        ended: When its answer had ended.
        pieces: When each piece of text came; one for an answer that is not streamed.
        num_tokens: Tokens of the answer as its usage tells; the number of pieces where it does not.
        error: What went wrong, as a short name; None where nothing did.
    """

    kind: str
    due: float
    began: float
    ended: float
    pieces: tuple[float, ...] = ()
    num_tokens: int = 0
    error: str | None = None


@dataclass(slots=True)
class Line:
    """A connection that is kept between requests, and made again where the other end closed it."""

    url: str
    key: str | None = None
    timeout_s: float = 120.0
    _reader: asyncio.StreamReader | None = field(default=None, init=False)
    _writer: asyncio.StreamWriter | None = field(default=None, init=False)

    async def ask(self, body: bytes, *, kind: str = "text", due: float | None = None) -> Exchange:
        """Send a request and read its answer to the end.

        Args:
            body: JSON.
            kind: Goes into the exchange.
            due: Likewise; None is now.

        Returns:
            The exchange; failures are part of it and are not raised.
        """
        began = time.perf_counter()
        arrivals: list[tuple[float, bytes]] = []
        error: str | None = None
        status = 0
        try:
            async with asyncio.timeout(self.timeout_s):
                status = await self._exchange(body, arrivals)
        except TimeoutError:
            error = "timeout"
        except (OSError, EOFError, ValueError) as failure:
            error = type(failure).__name__
        if error is not None:
            await self.close()
        ended = time.perf_counter()
        read = _read(arrivals, status) if error is None else _Answer(error=error)
        return Exchange(
            kind=kind,
            due=began if due is None else due,
            began=began,
            ended=ended,
            pieces=tuple(read.pieces),
            num_tokens=read.num_tokens or len(read.pieces),
            error=read.error,
        )

    async def close(self) -> None:
        """Hang up."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, body: bytes, arrivals: list[tuple[float, bytes]]) -> int:
        """Send, and collect what arrives; returns the status."""
        reader, writer = await self._open()
        key = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        status, headers = await _read_head(reader)
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip() or b"0", 16):
                data = await reader.readexactly(size + 2)
                arrivals.append((time.perf_counter(), data[:-2]))
            await reader.readline()
        else:
            data = await reader.readexactly(int(headers.get("content-length", "0")))
            arrivals.append((time.perf_counter(), data))
        if headers.get("connection") == "close":
            await self.close()
        return status

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            await self.close()
            parts = urlsplit(self.url)
            self._reader, self._writer = await asyncio.open_connection(
                parts.hostname, parts.port or 80, limit=_LONGEST_LINE
            )
        return self._reader, self._writer


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split()[1]), headers


@dataclass(slots=True, kw_only=True)
class _Answer:
    """What an answer told, taken apart."""

    pieces: list[float] = field(default_factory=list)
    num_tokens: int = 0
    error: str | None = None


def _read(arrivals: list[tuple[float, bytes]], status: int) -> _Answer:
    """Take an answer apart, streamed or whole."""
    data = b"".join(data for _, data in arrivals)
    if not data.startswith((b"data:", b"event:", b":")):
        return _read_whole(data, status, arrivals)
    try:
        return _read_stream(arrivals)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ):  # no JSON, or JSON of another shape
        return _Answer(error="unreadable")


def _read_stream(arrivals: list[tuple[float, bytes]]) -> _Answer:
    """Take a stream apart; an event came when its last byte did."""
    answer, decoder = _Answer(error="cut short"), EventDecoder()
    for moment, event in ((at, each) for at, data in arrivals for each in decoder.push(data)):
        if event.data == "[DONE]":
            answer.error = None
        elif event.name == "error":
            answer.error = f"in stream: {_code(json.loads(event.data))}"
            break
        else:
            chunk = json.loads(event.data)
            choices = chunk.get("choices") or [{}]
            if choices[0].get("delta", {}).get("content"):
                answer.pieces.append(moment)
            if choices[0].get("finish_reason"):  # some services write no [DONE]
                answer.error = None
            usage = chunk.get("usage") or {}
            answer.num_tokens = usage.get("completion_tokens", answer.num_tokens)
    return answer


def _read_whole(data: bytes, status: int, arrivals: list[tuple[float, bytes]]) -> _Answer:
    try:
        body = json.loads(data)
    except ValueError:
        return _Answer(error=f"{status}: no JSON")
    if status != 200:
        return _Answer(error=f"{status}: {_code(body)}")
    tokens = (body.get("usage") or {}).get("completion_tokens", 0)
    return _Answer(pieces=[arrivals[-1][0]], num_tokens=tokens)


def _code(body: Any) -> str:
    error = body.get("error", {}) if isinstance(body, dict) else {}
    return str(error.get("code") or error.get("type") or "error")
