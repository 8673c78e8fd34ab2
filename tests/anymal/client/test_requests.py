"""Uploads report their progress, and the wait that a response asks for is read."""

from typing import Any

import httpx
import pytest

from anymal.client import AsyncClient, Client
from anymal.client.requests import asked_wait_s
from anymal.client.retries import Backoff

EARLY = "Sun, 06 Nov 1994 08:49:37 GMT"
LATE = "Sun, 06 Nov 1994 08:50:07 GMT"
ANSWER = {
    "id": "1",
    "created": 1,
    "model": "m",
    "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Told(list[tuple[int, int]]):
    def __call__(self, sent: int, total: int) -> None:
        self.append((sent, total))


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes a request piece by piece, as a line does; fails the first `num_failures`."""

    def __init__(self, num_failures: int = 0) -> None:
        self.num_failures = num_failures
        self.bodies: list[bytes] = []
        self.lengths: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        return self._answer(request, list(request.stream))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return self._answer(request, [piece async for piece in request.stream])

    def _answer(self, request: httpx.Request, pieces: list[bytes]) -> httpx.Response:
        self.bodies.append(b"".join(pieces))
        assert "transfer-encoding" not in request.headers
        self.lengths.append(request.headers.get("content-length"))
        self.num_failures -= 1
        return httpx.Response(503) if self.num_failures >= 0 else httpx.Response(200, json=ANSWER)


def check(told: Told, body: bytes) -> None:
    sent = [each for each, _ in told]
    assert sent[0] == 0
    assert sent[-1] == len(body)
    assert sent == sorted(set(sent))
    assert len(sent) > 4
    assert {total for _, total in told} == {len(body)}


async def test_upload_is_told_piece_by_piece() -> None:
    transport, told = Transport(), Told()
    with Client(base_url="http://anymal", transport=transport) as client:
        client.ask("What?", video=b"x" * 300_000, on_upload=told)
    check(told, transport.bodies[0])
    told.clear()
    async with AsyncClient(base_url="http://anymal", transport=transport) as other:
        await other.ask("What?", video=b"x" * 300_000, on_upload=told)
        await other.ask("What?", video=b"x" * 300_000)
    check(told, transport.bodies[1])
    assert transport.bodies[0] == transport.bodies[1] == transport.bodies[2]
    assert transport.lengths == [str(len(body)) for body in transport.bodies]


def test_every_attempt_is_told_from_the_start() -> None:
    transport, told = Transport(num_failures=1), Told()
    backoff = Backoff(sleep=lambda _: None)
    with Client(base_url="http://anymal", transport=transport, backoff=backoff) as client:
        client.ask("What?", on_upload=told)
    total = len(transport.bodies[0])
    assert told == [(0, total), (total, total)] * 2


def test_watcher_may_end_the_upload() -> None:
    transport = Transport()

    def enough(sent: int, total: int) -> None:
        if sent:
            raise InterruptedError(f"{sent} of {total}")

    with (
        Client(base_url="http://anymal", transport=transport) as client,
        pytest.raises(InterruptedError),
    ):
        client.ask("What?", image=b"x" * 300_000, on_upload=enough)
    assert transport.bodies == []


def test_watcher_is_not_sent() -> None:
    transport = Transport()
    options: dict[str, Any] = {"model": "m", "extra": {"user": "me"}, "logprobs": 3, "top_k": 5}
    with Client(base_url="http://anymal", transport=transport) as client:
        client.ask("What?", on_upload=Told(), **options)
    text = transport.bodies[0].decode()
    fields = '"model":"m","logprobs":true,"top_k":5,"top_logprobs":3,"user":"me"}'
    assert text.endswith(f'"text":"What?"}}]}}],{fields}')


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"Retry-After": " 12 "}, 12),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\xb2"}, None),
        ({"Retry-After": LATE, "Date": EARLY}, 30),
        ({"Retry-After": EARLY, "Date": LATE}, 0),
        ({"Retry-After": LATE}, 20),
        ({"Retry-After": LATE.replace("GMT", "-0000")}, 20),
        ({"Retry-After": LATE, "Date": "today"}, 20),
        ({"Retry-After": "Sun, 06 Nov 99999 08:50:07 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], wanted: float | None) -> None:
    ten_seconds_past_early = 784111787.0
    assert (
        asked_wait_s(httpx.Headers(headers, encoding="latin-1"), lambda: ten_seconds_past_early)
        == wanted
    )
