"""Loading in the background, admission, and hanging up."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from anymal.engine.events import Finished
from anymal.errors import BundleError
from anymal.protocol.requests import ChatCompletionRequest
from server.answering.disconnect import ClientGone, unless_disconnected
from server.answering.places import Places
from server.answering.worker import Worker
from server.app import create_app
from server.metrics import Metrics
from server.served.models import Backend
from server.settings import Settings

BODY: Any = {"messages": [{"role": "user", "content": "hello"}]}


def request(text: str) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"messages": [{"role": "user", "content": text}]})


def make_worker(backend: Backend, **limits: Any) -> Worker:
    worker = Worker(places=Places(2), **{"default_tokens": 10**9, "max_tokens": 10**9} | limits)
    worker.use(backend)
    return worker


def test_service_is_up_before_its_model(backend: Backend, make_bridge: Callable[..., Any]) -> None:
    may_load, has_loaded = threading.Event(), threading.Event()

    def load(settings: Settings) -> Backend:
        assert may_load.wait(10)
        return backend

    app = create_app(Settings(), load=load)
    worker: Worker = app.state.worker
    use = worker.use
    worker.use = lambda found: (use(found), has_loaded.set())[0]  # type: ignore[method-assign]
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:

        async def live() -> None:
            async with app.router.lifespan_context(app):
                await asyncio.to_thread(check)

        def check() -> None:
            assert http.get("/healthz").status_code == 200
            for response in (
                http.get("/readyz"),
                http.get("/v1/models"),
                http.post("/v1/chat/completions", json=BODY),
            ):
                assert response.status_code == 503
                assert response.json()["error"]["code"] == "not_ready"
                assert "still loading" in response.json()["error"]["message"]
            may_load.set()
            assert has_loaded.wait(10)
            assert http.get("/readyz").status_code == 200
            assert http.post("/v1/chat/completions", json=BODY).status_code == 200

        asyncio.run(live())


def test_failed_loading_is_told(make_bridge: Callable[..., Any]) -> None:
    has_failed = threading.Event()

    def load(settings: Settings) -> Backend:
        raise BundleError("no bundle at 'nowhere'")

    app = create_app(Settings(), load=load, on_failure=has_failed.set)

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert await asyncio.to_thread(has_failed.wait, 10)

    asyncio.run(live())
    assert isinstance(app.state.worker.failure, BundleError)
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        response = http.get("/readyz")
    assert response.status_code == 503
    assert "nowhere" in response.json()["error"]["message"]


async def test_full_house_is_429_and_opens_again(backend: Backend, engine: Any) -> None:
    app = create_app(Settings(max_requests=1, max_tokens=10**9, default_tokens=10**9), backend)
    worker: Worker = app.state.worker
    events = worker.answer(request("forever"))
    await anext(events)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://anymal") as http:
        refused = await http.post("/v1/chat/completions", json=BODY)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "queue_full"
        assert refused.headers["retry-after"] == "1"
        await events.aclose()
        assert (await http.post("/v1/chat/completions", json=BODY)).status_code == 200


async def test_closing_the_events_cancels_the_engine(backend: Backend, engine: Any) -> None:
    events = make_worker(backend).answer(request("forever"))
    await anext(events)
    assert not engine.has_ended.is_set()
    await events.aclose()
    assert await asyncio.to_thread(engine.has_ended.wait, 10)


async def test_cancelling_the_task_cancels_the_engine(backend: Backend, engine: Any) -> None:
    events = make_worker(backend).answer(request("forever"))

    async def read() -> None:
        async for _ in events:
            pass

    task = asyncio.create_task(read())
    assert await asyncio.to_thread(engine.has_begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(engine.has_ended.wait, 10)


async def test_work_is_returned_or_raised() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def work() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("broken")

    assert await unless_disconnected(never, work()) == 7
    with pytest.raises(ValueError, match="broken"):
        await unless_disconnected(never, fails())


async def test_work_is_cancelled_when_the_client_goes() -> None:
    was_cancelled = False

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def work() -> None:
        nonlocal was_cancelled
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled = True

    with pytest.raises(ClientGone):
        await unless_disconnected(gone, work())
    assert was_cancelled


async def test_a_request_that_takes_too_long_is_ended(backend: Backend, engine: Any) -> None:
    app = create_app(
        Settings(request_seconds=0.05, max_tokens=10**9, default_tokens=10**9), backend
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://anymal") as http:
        body = {"messages": [{"role": "user", "content": "forever"}]}
        whole = await http.post("/v1/chat/completions", json=body)
        stream = await http.post("/v1/chat/completions", json={**body, "stream": True})
    assert whole.status_code == 504
    assert whole.json()["error"]["code"] == "request_timeout"
    assert stream.status_code == 200
    *_, last = stream.text.strip().split("\n\n")
    assert last.startswith("event: error\n")
    assert "request_timeout" in last
    assert all(ticket.is_cancelled for ticket in engine.tickets)
    assert not app.state.worker._places._held


async def test_leaving_cancels_every_answer(backend: Backend, engine: Any) -> None:
    body = {"messages": [{"role": "user", "content": "forever"}], "n": 2}
    pieces = make_worker(backend).answer(ChatCompletionRequest.model_validate(body))
    assert {(await anext(pieces)).index for _ in range(20)} == {0, 1}
    await pieces.aclose()
    assert [ticket.is_cancelled for ticket in engine.tickets] == [True, True]


async def test_later_answers_begin_when_the_prompt_was_read(backend: Backend, engine: Any) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "n": 2}
    pieces = [
        piece
        async for piece in make_worker(backend).answer(ChatCompletionRequest.model_validate(body))
    ]
    counts = {p.index: p.event.counts for p in pieces if isinstance(p.event, Finished)}
    assert (counts[0].cached, counts[1].cached) == (0, 34)


async def test_tokens_and_times_are_noted(backend: Backend) -> None:
    metrics = Metrics()
    worker = make_worker(backend, metrics=metrics)
    body = {"messages": [{"role": "user", "content": "sun"}], "n": 2}
    async for _ in worker.answer(ChatCompletionRequest.model_validate(body)):
        pass
    told = metrics.exposition().decode()
    assert 'anymal_tokens_total{kind="completion"} 6.0' in told
    assert 'anymal_tokens_total{kind="image"} 32.0' in told
    assert "anymal_first_token_seconds_count 1.0" in told
    assert "anymal_next_token_seconds_count 4.0" in told
