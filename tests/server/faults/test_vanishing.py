"""Clients that go without a word: nothing goes on for them."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from server.app import create_app
from server.served.models import Backend
from server.settings import Settings

pytestmark = pytest.mark.faults
NUM_CLIENTS = 12
ENDLESS = {"default_tokens": 10**9, "max_tokens": 10**9, "max_requests": NUM_CLIENTS}


def test_vanishing_in_the_middle_of_streams(
    make_app: Callable[..., FastAPI], engine: Any, run: Any, vanish: Any
) -> None:
    with run(make_app(**ENDLESS)) as live:
        lines = [live.connect() for _ in range(NUM_CLIENTS)]
        for line in lines:
            live.begin("forever", line, stream=True)
        for line in lines:
            assert b"200 OK" in line.recv(1000)
        assert live.ask("hello").status_code == 429  # the house is full
        for line in lines:
            vanish(line)
        own = engine.tickets[1:-1]  # without the first request, and the refused one has none
        assert live.settles(lambda: all(ticket.is_cancelled for ticket in own))
        # The house is empty again, to the last place.
        threads = [threading.Thread(target=live.ask, args=["hi"]) for _ in range(NUM_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert live.ask("hello").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_vanishing_before_the_answer(
    make_app: Callable[..., FastAPI], engine: Any, run: Any, vanish: Any, stream: bool
) -> None:
    with run(make_app(**ENDLESS)) as live:
        engine.has_begun.clear()
        line = live.connect()
        live.begin("forever", line, stream=stream)
        assert engine.has_begun.wait(20)
        vanish(line)
        assert live.settles(lambda: engine.tickets[-1].is_cancelled)


def test_vanishing_in_the_middle_of_a_body(
    make_app: Callable[..., FastAPI], run: Any, vanish: Any, raw_request: Any
) -> None:
    with run(make_app()) as live:
        data = raw_request("hello" * 1000)
        lines = [live.connect() for _ in range(NUM_CLIENTS)]
        for number, line in enumerate(lines):
            line.sendall(data[: len(data) * (number + 1) // (NUM_CLIENTS + 1)])
        assert live.settles(lambda: live.app.state.drain.num_running > 0)
        for line in lines:
            vanish(line)


def test_nothing_is_decoded_for_who_has_left(tiny: Backend, run: Any, vanish: Any) -> None:
    settings = Settings(max_requests=NUM_CLIENTS)
    with run(create_app(settings, tiny)) as live:
        lines = [live.connect() for _ in range(4)]
        for line in lines:
            live.begin("Tell me more.", line, stream=True, max_tokens=900, ignore_eos=True)
        for line in lines:
            _read_until(line, b'"content":"')
            assert line.recv(1000)
        assert tiny.engine.stats().running == 4
        for line in lines:
            vanish(line)
        assert live.settles(lambda: tiny.engine.stats().running == 0)
        steps = tiny.engine.stats().steps
        time.sleep(0.05)
        assert tiny.engine.stats().steps == steps
        assert tiny.engine.stats().waiting == 0


def _read_until(line: socket.socket, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        piece = line.recv(1000)
        assert piece, seen
        seen += piece
