"""When the client asks again, how long it waits, and when it does not."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from anymal.client import AsyncClient, Client, errors
from anymal.client.retries import Backoff

MODELS = {"data": [{"id": "a", "created": 1}]}
WHOLE = (
    'data: {"id": "1", "created": 1, "model": "m", "choices": [{"delta": {"content": "A"}, '
    '"finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, '
    '"total_tokens": 2}}\n\ndata: [DONE]\n\n'
)
Step = int | Exception | httpx.Response


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Plays one step per request: a status, an exception or a response; then answers well."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._play(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._play(request)

    def _play(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, int):
            return httpx.Response(step)
        if step is not None:
            return step
        if request.method == "GET":
            return httpx.Response(200, json=MODELS)
        return httpx.Response(200, text=WHOLE)


class Waits(list[float]):
    """Sleeps not at all, and writes down how long it should have; chance is always 0."""

    @property
    def backoff(self) -> Backoff:
        async def sleep_async(seconds: float) -> None:
            self.append(seconds)

        return Backoff(draw=lambda: 0.0, sleep=self.append, sleep_async=sleep_async)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def make(waits: Waits) -> Callable[..., Client]:
    def build(script: Script, **options: Any) -> Client:
        options = {"backoff": waits.backoff, **options}
        return Client(base_url="http://anymal", transport=script, **options)

    return build


TRANSIENT: list[Step] = [
    *(408, 429, 502, 503, 504),
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("server disconnected without sending a response"),
]
LASTING: list[Step] = [
    *(400, 401, 403, 404, 413, 422, 500),
    httpx.ReadTimeout("slow"),
    httpx.WriteTimeout("slow"),
    httpx.UnsupportedProtocol("gopher"),
]


def name_of(step: Step) -> str:
    return str(step) if isinstance(step, int) else type(step).__name__


@pytest.mark.parametrize("step", TRANSIENT, ids=name_of)
async def test_what_passes_is_asked_again(make: Any, waits: Waits, step: Step) -> None:
    script = Script(step, step)
    with make(script) as client:
        assert client.models()[0].id == "a"
    assert len(script.requests) == 3
    assert waits == [0.5, 1.0]
    with make(Script(step)) as client:
        assert client.ask("What?", stream=True).answer.text == "A"
    options: Any = {"base_url": "http://anymal", "backoff": waits.backoff}
    async with AsyncClient(transport=Script(step), **options) as other:
        assert (await other.models())[0].id == "a"
    async with AsyncClient(transport=Script(step), **options) as other:
        assert (await (await other.ask("What?", stream=True)).answer()).text == "A"
    assert waits == [0.5, 1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("step", LASTING, ids=name_of)
async def test_what_lasts_is_not(make: Any, waits: Waits, step: Step) -> None:
    for call in (lambda client: client.models(), lambda client: client.stream([TURN]).answer):
        script = Script(step)
        with make(script) as client, pytest.raises(errors.ClientError):
            call(client)
        assert len(script.requests) == 1
    script = Script(step)
    async with AsyncClient(base_url="http://anymal", transport=script) as other:
        with pytest.raises(errors.ClientError):
            await other.models()
    assert len(script.requests) == 1
    assert waits == []


TURN = {"role": "user", "content": "What?"}


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_patience_ends(make: Any, waits: Waits, max_retries: int) -> None:
    script = Script(*[503] * 9)
    with (
        make(script, max_retries=max_retries) as client,
        pytest.raises(errors.NotReadyError),
    ):
        client.models()
    assert len(script.requests) == 1 + max_retries
    assert waits == [0.5, 1.0, 2.0][:max_retries]


def test_negative_patience_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="max_retries is -1"):
        make(Script(), max_retries=-1)


def test_service_says_when(make: Any, waits: Waits) -> None:
    steps = [httpx.Response(429, headers={"retry-after": text}) for text in ("7", "0")]
    with make(Script(*steps)) as client:
        client.models()
    assert waits == [7, 0]


def test_service_that_wants_to_be_left_alone_is(make: Any, waits: Waits) -> None:
    script = Script(httpx.Response(429, headers={"retry-after": "3600"}))
    with make(script) as client, pytest.raises(errors.BusyError) as refused:
        client.models()
    assert refused.value.retry_after_s == 3600
    assert (len(script.requests), waits) == (1, [])


def test_every_attempt_is_the_same_request(make: Any) -> None:
    script = Script(503, httpx.ConnectError("refused"))
    with make(script) as client:
        answer = client.ask("What?", image=b"x", stream=True).answer
        client.models()
    *attempts, other = script.requests
    assert len(attempts) == 3
    assert len({attempt.content for attempt in attempts}) == 1
    (request_id,) = {attempt.headers["x-request-id"] for attempt in attempts}
    assert {attempt.headers["idempotency-key"] for attempt in attempts} == {request_id}
    assert answer.request_id == request_id
    assert other.headers["x-request-id"] != request_id


def test_stream_that_has_begun_is_not_repeated(make: Any, waits: Waits) -> None:
    def breaking() -> Iterator[bytes]:
        yield WHOLE.replace('"stop"', "null").split("\n\n")[0].encode() + b"\n\n"
        raise httpx.ReadError("reset")

    script = Script(httpx.Response(200, content=breaking()))
    with make(script) as client:
        stream = client.ask("What?", stream=True)
        assert next(stream) == "A"
        with pytest.raises(errors.ConnectionFailedError, match="broke before the answer"):
            next(stream)
    assert (len(script.requests), waits) == (1, [])


def test_stream_that_has_not_begun_is(make: Any, waits: Waits) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"data: {"
        raise httpx.ReadError("reset")

    with make(Script(httpx.Response(200, content=breaking()))) as client:
        assert list(client.ask("What?", stream=True)) == ["A"]
    assert waits == [0.5]


@pytest.mark.parametrize(
    ("step", "is_ready"), [(200, True), (503, False), (httpx.ConnectError("refused"), False)]
)
async def test_readiness_is_asked_once(make: Any, step: Step, is_ready: bool) -> None:
    script = Script(step)
    with make(script) as client:
        assert client.is_ready() is is_ready
    assert [request.url.path for request in script.requests] == ["/readyz"]
    async with AsyncClient(base_url="http://anymal", transport=Script(step)) as other:
        assert await other.is_ready() is is_ready


async def test_readiness_of_a_wrong_address_is_an_error(make: Any) -> None:
    with make(Script(404)) as client, pytest.raises(errors.NotFoundError):
        client.is_ready()
    async with AsyncClient(base_url="http://anymal", transport=Script(404)) as other:
        with pytest.raises(errors.NotFoundError):
            await other.is_ready()


def test_attempts_are_logged(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "anymal"), make(Script(503)) as client:
        client.ask("a secret", stream=True).answer  # noqa: B018 - reads the stream
    assert "asking again in 0.5 s" in caplog.text
    assert "a secret" not in caplog.text


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(draw=lambda: 0.0)
    assert [backoff.wait_s(n, None) for n in (0, 1, 2, 3, 4, 5, 10**6)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_chance_shortens_by_up_to_half() -> None:
    assert Backoff(draw=lambda: 0.999).wait_s(2, None) == pytest.approx(1.0, abs=0.01)
    backoff = Backoff()
    waits = {backoff.wait_s(2, None) or 0 for _ in range(100)}
    assert len(waits) > 50
    assert 1 < min(waits) <= max(waits) <= 2


def test_service_is_never_asked_before_it_wants() -> None:
    assert Backoff(draw=lambda: 0.0).wait_s(0, 20) == 20
    assert Backoff(draw=lambda: 0.8).wait_s(0, 20) == pytest.approx(20.4)
    assert Backoff().wait_s(0, 60.1) is None
    assert Backoff(longest_asked_s=100, draw=lambda: 0.0).wait_s(0, 60.1) == 60.1
