"""What a load's connection makes of answers, good and bad, whole and in odd pieces."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.serving.line import Exchange, Line

WORD = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
END = b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 7}}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'event: error\ndata: {"error": {"code": "internal_error"}}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(*pieces: bytes) -> list[bytes]:
    return [
        CHUNKED,
        *(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces),
        b"0\r\n\r\n",
    ]


def whole(status: int, body: bytes) -> list[bytes]:
    return [f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body]


async def asked(*answers: Sequence[bytes], pause_s: float = 0.0) -> list[Exchange]:
    """What one connection makes of some answers, one after the other."""
    left = list(answers)
    tasks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            for piece in left.pop(0):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        line = Line(f"http://127.0.0.1:{port}")
        exchanges = [await line.ask(b"{}") for _ in answers]
        await line.close()
        await asyncio.gather(*(task for task in tasks if task is not None))
    return exchanges


async def test_pieces_are_timed_as_they_come() -> None:
    pieces = chunked(ROLE, WORD, WORD + WORD[:9], WORD[9:], END, USAGE, DONE)
    (found,) = await asked(pieces, pause_s=0.02)
    assert found.error is None
    assert found.num_tokens == 7
    assert len(found.pieces) == 3  # the role is no piece
    first, second, third = found.pieces
    assert second - first > 0.01
    assert third - second > 0.01  # it came when its last byte did
    assert found.began < first < found.ended


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (chunked(ROLE, WORD, END), None),  # some services write no [DONE]
        (chunked(ROLE, WORD), "cut short"),
        (chunked(ROLE, WORD, ERROR), "in stream: internal_error"),
        (chunked(ROLE, b"data: {half\n\n"), "unreadable"),
        (chunked(ROLE, b"data: 5\n\n"), "unreadable"),
        (chunked(ROLE, b'data: {"choices": {"a": 1}}\n\n'), "unreadable"),
        (chunked(ROLE, b"data: \xff\n\n"), "unreadable"),
        (whole(429, b'{"error": {"code": "queue_full"}}'), "429: queue_full"),
        (whole(502, b"<html>"), "502: no JSON"),
        ([CHUNKED, b"5\r\nda"], "IncompleteReadError"),
    ],
)
async def test_outcomes(answer: list[bytes], error: str | None) -> None:
    (found,) = await asked(answer)
    assert found.error == error


async def test_a_connection_is_kept_and_whole_answers_are_one_piece() -> None:
    body = b'{"choices": [{"message": {"content": "ab"}}], "usage": {"completion_tokens": 2}}'
    first, second = await asked(whole(200, body), whole(200, body))
    assert (first.error, len(first.pieces), first.num_tokens) == (None, 1, 2)
    assert second.num_tokens == 2
