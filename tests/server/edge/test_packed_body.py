"""Packed bodies are unpacked under the limit of a body."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
GZIP = {"content-encoding": "gzip", "content-type": "application/json"}
MakeHttp = Callable[..., httpx.Client]


def body(text: str = "hello") -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


def said(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


class Trickle(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body, a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 3):
            yield self.data[start : start + 3]


def test_gzip_is_unpacked(http: httpx.Client) -> None:
    assert said(http.post(CHAT, content=gzip.compress(body()), headers=GZIP)) == "hello"
    other = {**GZIP, "content-encoding": "X-GZip"}
    assert said(http.post(CHAT, content=gzip.compress(body()), headers=other)) == "hello"
    plain = {**GZIP, "content-encoding": "identity"}
    assert said(http.post(CHAT, content=body(), headers=plain)) == "hello"
    joined = gzip.compress(body()[:20]) + gzip.compress(b"") + gzip.compress(body()[20:])
    assert said(http.post(CHAT, content=joined, headers=GZIP)) == "hello"


def test_gzip_may_come_in_pieces_of_any_size(http: httpx.Client) -> None:
    request = httpx.Request("POST", f"http://anymal{CHAT}", stream=Trickle(gzip.compress(body())))
    request.headers.update(GZIP)
    assert said(http.send(request)) == "hello"


def test_a_large_body_is_unpacked_whole(http: httpx.Client, engine: Any) -> None:
    turns = [{"role": "user", "content": "a" * 100}] * 20_000 + [
        {"role": "user", "content": "hello"}
    ]
    data = json.dumps({"messages": turns}).encode()
    assert len(data) > 2**21
    for level in (0, 9):
        packed = gzip.compress(data, level)
        assert said(http.post(CHAT, content=packed, headers=GZIP)) == "hello"


def test_a_form_may_be_packed_too(http: httpx.Client) -> None:
    files: Any = [("question", (None, "What?")), ("image", ("a.png", b"one"))]
    form = httpx.Request("POST", "http://anymal", files=files)
    headers = {**form.headers, "content-encoding": "gzip"}
    del headers["content-length"]
    packed = gzip.compress(form.read())
    assert said(http.post("/v1/ask", content=packed, headers=headers)) == "What? +1"


def test_limit_counts_unpacked_bytes(make_http: MakeHttp) -> None:
    text = "hello " * 40
    with make_http(max_body_bytes=len(body(text))) as http:
        assert said(http.post(CHAT, content=gzip.compress(body(text)), headers=GZIP)) == text
        bomb = gzip.compress(b" " * 10**7)
    with make_http(max_body_bytes=len(bomb)) as http:
        response = http.post(CHAT, content=bomb, headers=GZIP)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"
    assert "unpacked" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (body(), "not gzip"),
        (zlib.compress(body()), "not gzip"),
        (gzip.compress(body())[:-9], "ends in the middle"),
        (gzip.compress(body())[:-1] + b"x", "not gzip"),
    ],
    ids=["plain", "zlib", "cut", "wrong sum"],  # gzip writes the time into its header
)
def test_broken_gzip_is_told(http: httpx.Client, content: bytes, words: str) -> None:
    response = http.post(CHAT, content=content, headers=GZIP)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "body_corrupt"
    assert words in response.json()["error"]["message"]


def test_other_packing_is_refused_with_the_way_out(http: httpx.Client) -> None:
    headers = {**GZIP, "content-encoding": "br"}
    response = http.post(CHAT, content=b"x", headers=headers)
    assert response.status_code == 415
    assert "use gzip" in response.json()["error"]["message"]
