"""The end: answers finish, nobody else gets in."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from fastapi import FastAPI

from server.running import Service
from server.settings import Settings

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}]}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_draining_service_refuses_and_says_when_to_come_back(
    app: FastAPI, http: httpx.Client
) -> None:
    assert http.get("/readyz").status_code == 200
    app.state.drain.begin()
    for response in (http.post(CHAT, json=BODY), http.get("/readyz"), http.get("/v1/models")):
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "shutting_down"
        assert int(response.headers["retry-after"]) >= 1
    assert http.get("/healthz").status_code == http.get("/health").status_code == 200
    assert http.get("/metrics").status_code == 200


async def test_service_ends_once_nobody_is_in_the_house(
    make_app: Callable[..., FastAPI], engine: Any
) -> None:
    app, clock = make_app(max_tokens=10**6), Clock()
    service = Service(app, Settings(drain_seconds=30), clock=clock)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://anymal") as http:
        body = {"messages": [{"role": "user", "content": "forever"}], "max_tokens": 300}
        running = asyncio.create_task(http.post(CHAT, json=body))
        assert await asyncio.to_thread(engine.has_begun.wait, 20)
        service.handle_exit(15, None)
        assert await service.on_tick(1) is False
        assert (await http.post(CHAT, json=BODY)).status_code == 503
        answer = await running
    assert len(answer.json()["choices"][0]["message"]["content"]) == 300
    assert await service.on_tick(2) is True
    assert service._captured_signals == []  # it would be raised again, and end in an error code


async def test_answers_that_take_too_long_are_told_so(
    make_app: Callable[..., FastAPI], engine: Any
) -> None:
    app, clock = make_app(max_tokens=10**9), Clock()
    service = Service(app, Settings(drain_seconds=30), clock=clock)
    app.state.drain.num_running = 1
    service.handle_exit(15, None)
    clock.now += 5
    assert await service.on_tick(1) is False
    clock.now += 29
    assert await service.on_tick(2) is False
    assert not engine.is_closed
    clock.now += 2
    assert await service.on_tick(3) is True
    assert engine.is_closed


async def test_second_signal_ends_the_wait(app: FastAPI) -> None:
    service = Service(app, Settings())
    app.state.drain.num_running = 1
    service.handle_exit(2, None)
    assert await service.on_tick(1) is False
    service.handle_exit(2, None)
    assert await service.on_tick(2) is True
