"""What the client sends, what it gives back, and how it says that there is no answer."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from anymal.client import AsyncClient, Client
from anymal.errors import AnymalError
from anymal.serving.assistant import Assistant

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "anymal-fake",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A d\xf6g."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "new_key": 1},
}
Handler = Callable[[httpx.Request], httpx.Response]


def chunk(usage: Any = None, **choice: Any) -> str:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "anymal-fake"}
    choices = [{"index": 0, "delta": {}, "finish_reason": None} | choice] if choice else []
    return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage})}\n\n"


STREAM = (
    chunk(delta={"role": "assistant", "content": ""})
    + chunk(delta={"content": "A "})
    + chunk(delta={"content": "d\xf6g."})
    + chunk(finish_reason="stop")
    + chunk(usage=ANSWER["usage"])
    + "data: [DONE]\n\n"
)


def make(handler: Handler, **options: Any) -> Client:
    return Client(base_url="http://anymal", transport=httpx.MockTransport(handler), **options)


def make_async(handler: Handler) -> AsyncClient:
    return AsyncClient(base_url="http://anymal", transport=httpx.MockTransport(handler))


def test_ask_sends_media_then_question() -> None:
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://anymal/v1/chat/completions"
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=ANSWER)

    with make(handler) as client:
        answer = client.ask(
            "What?",
            image=b"x",
            imu=b"y",
            imu_rate_hz=50,
            acceleration_unit="g",
            max_tokens=9,
            stop="!",
        )
    assert (answer.text, str(answer), answer.finish_reason) == ("A d\xf6g.", "A d\xf6g.", "stop")
    assert (answer.usage.total_tokens, answer.model) == (7, "anymal-fake")
    assert bodies == [
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {
                                "url": "data:application/octet-stream;base64,eA==",
                                "detail": "auto",
                            },
                        },
                        {
                            "type": "input_imu",
                            "input_imu": {
                                "url": "data:application/octet-stream;base64,eQ==",
                                "rate_hz": 50.0,
                                "acceleration_unit": "g",
                            },
                        },
                        {"type": "text", "text": "What?"},
                    ],
                }
            ],
            "max_tokens": 9,
            "stop": "!",
        }
    ]


def test_chat_takes_models_and_mappings() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        roles = [message["role"] for message in json.loads(request.content)["messages"]]
        assert roles == ["user", "assistant", "user"]
        return httpx.Response(200, json=ANSWER)

    with make(handler) as client:
        first = client.message("What?", image=b"x")
        earlier = make(lambda _: httpx.Response(200, json=ANSWER)).ask("x")
        client.chat([first, earlier.message, {"role": "user", "content": "And?"}])


@pytest.mark.parametrize("size", [1, 11, 10_000])
def test_stream_gives_pieces_and_then_the_answer(size: int) -> None:
    data = STREAM.encode()
    fragments = [data[start : start + size] for start in range(0, len(data), size)]

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["stream"]
        assert body["stream_options"] == {"include_usage": True}
        return httpx.Response(200, content=iter(fragments))

    with make(handler) as client:
        stream = client.ask("What?", stream=True)
        assert list(stream) == ["A ", "d\xf6g."]
        assert stream.answer.text == "A d\xf6g."
        assert stream.answer.usage.total_tokens == 7


def test_answer_of_a_stream_reads_the_rest() -> None:
    with make(lambda _: httpx.Response(200, text=STREAM)) as client:
        assert client.ask("What?", stream=True).answer.text == "A d\xf6g."


class Watched(httpx.SyncByteStream):
    def __init__(self) -> None:
        self.is_closed = False

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from (part.encode() for part in STREAM.splitlines(keepends=True))

    def close(self) -> None:
        self.is_closed = True


def test_leaving_a_stream_closes_the_response() -> None:
    watched = Watched()
    with make(lambda _: httpx.Response(200, stream=watched)) as client:
        with client.ask("What?", stream=True) as stream:
            assert next(stream) == "A "
            assert not watched.is_closed
        assert watched.is_closed


async def test_async_client() -> None:
    async with make_async(lambda _: httpx.Response(200, json=ANSWER)) as client:
        assert (await client.ask("What?", image=b"x")).text == "A d\xf6g."
    async with make_async(lambda _: httpx.Response(200, text=STREAM)) as client:
        async with await client.ask("What?", stream=True) as stream:
            assert [piece async for piece in stream] == ["A ", "d\xf6g."]
        assert (await stream.answer()).usage.total_tokens == 7
    models = {"data": [{"id": "a", "created": 1, "modalities": ["imu"]}]}
    async with make_async(lambda _: httpx.Response(200, json=models)) as client:
        assert [card.id for card in await client.models()] == ["a"]


def test_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization")))
        return httpx.Response(200, json={"data": []})

    def call(**options: Any) -> None:
        with Client(transport=httpx.MockTransport(handler), **options) as client:
            client.models()

    call()
    monkeypatch.setenv("ANYMAL_BASE_URL", "http://there:1/sub/v1/")
    monkeypatch.setenv("ANYMAL_API_KEY", "sesame")
    call()
    call(base_url="http://here", api_key="open")
    assert seen == [
        ("http://127.0.0.1:8000/v1/models", None),
        ("http://there:1/sub/v1/models", "Bearer sesame"),
        ("http://here/v1/models", "Bearer open"),
    ]


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://a:b", "ftp://x"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(AnymalError, match=f"base_url is {re.escape(repr(url))}"):
        Client(base_url=url)


def test_unknown_option_is_named() -> None:
    with make(lambda _: httpx.Response(200, json=ANSWER)) as client:
        ask: Any = client.ask
        with pytest.raises(TypeError, match="imgae"):
            ask("What?", imgae=b"x")


@pytest.mark.parametrize("name", ["ask", "chat", "stream", "message"])
def test_signatures_are_the_same(name: str) -> None:
    signatures = [
        inspect.signature(getattr(owner, name)) for owner in (Client, AsyncClient, Assistant)
    ]
    parameters = [[str(each) for each in own.parameters] for own in signatures]
    assert parameters[0] == parameters[1] == parameters[2]
