"""Sizes and times of bodies."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}]}
MakeHttp = Callable[..., httpx.Client]


class Pieces(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body in pieces; without an end, or with a pause that outlasts the test."""

    def __init__(self, *pieces: bytes, is_endless: bool = False, has_pause: bool = False) -> None:
        self.pieces = pieces
        self.is_endless = is_endless
        self.has_pause = has_pause
        self.num_read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for piece in self.pieces:
                self.num_read += 1
                yield piece
            if self.has_pause:
                await asyncio.Event().wait()
            if not self.is_endless:
                return


def send(http: httpx.Client, stream: Pieces) -> httpx.Response:
    request = httpx.Request("POST", f"http://anymal{CHAT}", stream=stream)
    request.headers["content-type"] = "application/json"
    return http.send(request)


@pytest.mark.parametrize("declared", ["101", "9" * 5000])
def test_declared_length_is_refused_before_it_is_read(make_http: MakeHttp, declared: str) -> None:
    stream = Pieces(b"x")
    request = httpx.Request("POST", f"http://anymal{CHAT}", stream=stream)
    request.headers["content-length"] = declared
    with make_http(max_body_bytes=100) as http:
        response = http.send(request)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"
    assert stream.num_read == 0


def test_undeclared_length_is_refused_while_it_is_read(make_http: MakeHttp) -> None:
    stream = Pieces(b"x" * 40, is_endless=True)
    with make_http(max_body_bytes=100) as http:
        response = send(http, stream)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"
    assert stream.num_read == 3


def test_body_of_the_greatest_size_is_read(make_http: MakeHttp) -> None:
    size = len(httpx.Request("POST", "http://a", json=BODY).content)
    with make_http(max_body_bytes=size) as http:
        assert http.post(CHAT, json=BODY).status_code == 200


def test_slow_body_is_refused_and_its_connection_closed(make_http: MakeHttp) -> None:
    with make_http(body_seconds=0.05) as http:
        response = send(http, Pieces(b'{"messages":', has_pause=True))
    assert response.status_code == 408
    assert response.json()["error"]["code"] == "body_too_slow"
    assert response.headers["connection"] == "close"


async def test_time_of_a_body_does_not_end_a_long_answer(make_app: Callable[..., FastAPI]) -> None:
    app = make_app(body_seconds=0.05, max_tokens=10**6)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://anymal") as http:
        body = {"messages": [{"role": "user", "content": "forever"}], "max_tokens": 200}
        response = await http.post(CHAT, json=body)
    assert response.status_code == 200
    assert len(response.json()["choices"][0]["message"]["content"]) == 200
