"""However a stream is left, its response is closed, and with it the work behind it."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from anymal.client import AsyncClient, Client
from anymal.client.errors import ServerError
from anymal.errors import AnymalError

PIECE = (
    'data: {"id": "1", "created": 1, "model": "m", '
    '"choices": [{"delta": {"content": "A "}, "finish_reason": null}]}\n\n'
)
END = (
    'data: {"id": "1", "created": 1, "model": "m", '
    '"choices": [{"delta": {}, "finish_reason": "stop"}], '
    '"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}\n\n'
)


class Watched(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that knows whether it was closed."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts or (PIECE, PIECE, END)
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from (part.encode() for part in self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part.encode()

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


def make(watched: Watched) -> Client:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=watched))
    return Client(base_url="http://anymal", transport=transport)


def make_async(watched: Watched) -> AsyncClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=watched))
    return AsyncClient(base_url="http://anymal", transport=transport)


def read(stream: Any, how: str) -> None:
    assert next(stream) == "A "
    if how == "close":
        stream.close()
    elif how == "whole":
        assert list(stream) == ["A "]
    elif how == "answer":
        assert stream.answer.text == "A A "
    elif how == "break":
        for _ in stream:
            break
    elif how == "exception":
        raise KeyError("the caller's own")


@pytest.mark.parametrize("how", ["close", "whole", "answer", "break", "exception"])
def test_stream_is_closed(how: str) -> None:
    watched = Watched()
    stream = make(watched).ask("What?", stream=True)
    try:
        with stream:
            read(stream, how)
            assert watched.is_closed == (how not in ("break", "exception"))
    except KeyError:
        assert how == "exception"
    assert watched.is_closed


def test_stream_that_nobody_holds_is_closed() -> None:
    watched = Watched()
    client = make(watched)
    for _ in client.ask("What?", stream=True):
        assert not watched.is_closed
        break
    gc.collect()
    assert watched.is_closed


@pytest.mark.parametrize("error", [END.replace("{", "<"), 'event: error\ndata: {"error": 1}\n\n'])
def test_stream_that_fails_is_closed(error: str) -> None:
    watched = Watched(PIECE, error)
    with pytest.raises(ServerError):
        list(make(watched).ask("What?", stream=True))
    assert watched.is_closed


async def read_async(stream: Any, how: str) -> None:
    assert await anext(stream) == "A "
    if how == "close":
        await stream.close()
    elif how == "whole":
        assert [piece async for piece in stream] == ["A "]
    elif how == "answer":
        assert (await stream.answer()).text == "A A "
    elif how == "break":
        async for _ in stream:
            break
    elif how == "exception":
        raise KeyError("the caller's own")
    elif how == "cancel":
        raise asyncio.CancelledError


@pytest.mark.parametrize("how", ["close", "whole", "answer", "break", "exception", "cancel"])
async def test_async_stream_is_closed(how: str) -> None:
    watched = Watched()
    stream = await make_async(watched).ask("What?", stream=True)
    try:
        async with stream:
            await read_async(stream, how)
            assert watched.is_closed == (how not in ("break", "exception", "cancel"))
    except (KeyError, asyncio.CancelledError):
        assert how in ("exception", "cancel")
    assert watched.is_closed


async def test_async_stream_that_nobody_holds_is_closed() -> None:
    watched = Watched()
    client = make_async(watched)
    async for _ in await client.ask("What?", stream=True):
        assert not watched.is_closed
        break
    gc.collect()
    for _ in range(3):
        await asyncio.sleep(0)  # the event loop closes it
    assert watched.is_closed


async def test_answer_of_a_stream_that_was_left_is_refused() -> None:
    stream = make(Watched()).ask("What?", stream=True)
    next(stream)
    stream.close()
    with pytest.raises(AnymalError, match="closed before the answer ended"):
        _ = stream.answer
    other = await make_async(Watched()).ask("What?", stream=True)
    await other.close()
    with pytest.raises(AnymalError, match="closed before the answer ended"):
        await other.answer()


def test_nothing_is_sent_before_the_first_piece() -> None:
    sent = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, text=PIECE + END)

    with Client(base_url="http://anymal", transport=httpx.MockTransport(handler)) as client:
        stream = client.stream([client.message("What?")])
        assert sent == []
        assert next(stream) == "A "
        assert len(sent) == 1
