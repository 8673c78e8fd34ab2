"""What the client sends, what it gives back, and how it says that there is no answer."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from anymal import client_errors
from anymal.assistant import Assistant
from anymal.client import AsyncClient, Client
from anymal.errors import AnymalError

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "anymal-fake",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "A dög."}, "finish_reason": "stop"}
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
    + chunk(delta={"content": "dög."})
    + chunk(finish_reason="stop")
    + chunk(usage=ANSWER["usage"])
    + "data: [DONE]\n\n"
)


def make(handler: Handler, **options: Any) -> Client:
    return Client("http://anymal", transport=httpx.MockTransport(handler), **options)


def make_async(handler: Handler) -> AsyncClient:
    return AsyncClient("http://anymal", transport=httpx.MockTransport(handler))


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
    assert (answer.text, str(answer), answer.finish_reason) == ("A dög.", "A dög.", "stop")
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
                                "rotation_unit": "rad/s",
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
        assert list(stream) == ["A ", "dög."]
        assert stream.answer.text == "A dög."
        assert stream.answer.usage.total_tokens == 7


def test_answer_of_a_stream_reads_the_rest() -> None:
    with make(lambda _: httpx.Response(200, text=STREAM)) as client:
        assert client.ask("What?", stream=True).answer.text == "A dög."


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
        assert (await client.ask("What?", image=b"x")).text == "A dög."
    async with make_async(lambda _: httpx.Response(200, text=STREAM)) as client:
        async with await client.ask("What?", stream=True) as stream:
            assert [piece async for piece in stream] == ["A ", "dög."]
        assert (await stream.answer()).usage.total_tokens == 7
    models = {"data": [{"id": "a", "created": 1, "modalities": ["imu"]}]}
    async with make_async(lambda _: httpx.Response(200, json=models)) as client:
        assert [card.id for card in await client.models()] == ["a"]


STATUSES = {
    400: client_errors.BadRequestError,
    401: client_errors.UnauthorizedError,
    403: client_errors.UnauthorizedError,
    404: client_errors.NotFoundError,
    413: client_errors.TooLargeError,
    418: client_errors.ClientError,
    422: client_errors.BadRequestError,
    429: client_errors.BusyError,
    500: client_errors.ServerError,
    502: client_errors.ServerError,
    503: client_errors.NotReadyError,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_every_status_has_its_error(
    status: int, kind: type[client_errors.ClientError], stream: bool
) -> None:
    body = {"error": {"message": "no", "type": "t", "param": "messages", "code": "c"}}

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"x-request-id": "seven"})

    with (
        make(handler) as client,
        pytest.raises(client_errors.ClientError, match=r"^no$") as refused,
    ):
        str(client.ask("What?", stream=True).answer if stream else client.ask("What?"))
    error = refused.value
    assert type(error) is kind
    assert isinstance(error, AnymalError)
    assert (error.status, error.code, error.param) == (status, "c", "messages")
    assert error.request_id == "seven"
    async with make_async(handler) as other:
        with pytest.raises(kind):
            await (await other.ask("What?", stream=True)).answer()


def test_page_of_a_proxy_is_an_error_too() -> None:
    with (
        make(lambda _: httpx.Response(502, text="<html>bad gateway")) as client,
        pytest.raises(client_errors.ServerError, match="502: <html>bad"),
    ):
        client.models()
    with (
        make(lambda _: httpx.Response(200, text="<html>hello")) as client,
        pytest.raises(client_errors.ServerError, match="something else than a ModelList"),
    ):
        client.models()


def test_error_event_ends_the_stream() -> None:
    event = 'event: error\ndata: {"error": {"message": "it broke", "type": "server_error"}}\n\n'

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=chunk(delta={"content": "A "}) + event)

    with make(handler) as client:
        stream = client.ask("What?", stream=True)
        assert next(stream) == "A "
        with pytest.raises(client_errors.ServerError, match="it broke"):
            next(stream)


def test_stream_that_breaks_off_is_no_answer() -> None:
    text = STREAM[: STREAM.index('"finish_reason": "stop"')]
    with make(lambda _: httpx.Response(200, text=text)) as client:
        stream = client.ask("What?", stream=True)
        with pytest.raises(client_errors.ServerError, match="broke off"):
            list(stream)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx.ConnectError("refused"), client_errors.ConnectionFailedError),
        (httpx.ReadTimeout("slow"), client_errors.TimedOutError),
        (httpx.RemoteProtocolError("gone"), client_errors.ConnectionFailedError),
    ],
)
def test_no_answer_at_all(cause: Exception, kind: type[Exception]) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise cause

    with make(handler) as client:
        for call in (
            lambda: client.ask("What?"),
            lambda: client.ask("What?", stream=True).answer,
            lambda: client.models(),
        ):
            with pytest.raises(kind, match="http://anymal"):
                call()


def test_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization")))
        return httpx.Response(200, json={"data": []})

    def call(*url: str, **options: Any) -> None:
        with Client(*url, transport=httpx.MockTransport(handler), **options) as client:
            client.models()

    call()
    monkeypatch.setenv("ANYMAL_BASE_URL", "http://there:1/sub/v1/")
    monkeypatch.setenv("ANYMAL_API_KEY", "sesame")
    call()
    call("http://here", api_key="open")
    assert seen == [
        ("http://127.0.0.1:8000/v1/models", None),
        ("http://there:1/sub/v1/models", "Bearer sesame"),
        ("http://here/v1/models", "Bearer open"),
    ]


def test_address_without_scheme_is_refused() -> None:
    with pytest.raises(AnymalError, match="http://"):
        Client("localhost:8000")


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
