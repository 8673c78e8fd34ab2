"""Clients that read slowly, or not at all: they cost little, and nobody else anything."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.faults
ENDLESS = {"default_tokens": 10**9, "max_tokens": 10**9}
SMALL = 4096  # bytes of the system's own buffers; it takes a little more


def test_who_reads_nothing_is_sent_away(
    make_app: Callable[..., FastAPI], engine: Any, run: Any
) -> None:
    with run(make_app(**ENDLESS, stall_seconds=0.3), SO_SNDBUF=SMALL) as live:
        with live.connect(SO_RCVBUF=SMALL) as line:
            live.begin("forever", line, stream=True)
            assert live.settles(lambda: len(engine.tickets) == 2)
            assert live.ask("hello").status_code == 200  # meanwhile
            assert live.settles(lambda: engine.tickets[1].is_cancelled)
            assert _left(line) < 2**18  # what the service kept for it was bounded
        assert live.settles(lambda: live.app.state.drain.num_running == 0)


def test_who_reads_slowly_gets_it_all(make_app: Callable[..., FastAPI], run: Any) -> None:
    with run(make_app(stall_seconds=20), SO_SNDBUF=SMALL) as live:
        with live.connect(SO_RCVBUF=SMALL) as line:
            live.begin("forever", line, stream=True, max_tokens=300)
            seen = bytearray()
            while b"[DONE]" not in seen:
                seen += line.recv(2048)
                time.sleep(0.002)
        assert seen.count(b'"content":"') == 300 + 1  # each letter, and the beginning


def _left(line: Any) -> int:
    """How many bytes are still to be read before the line ends."""
    line.settimeout(20)
    number = 0
    try:
        while data := line.recv(2**16):
            number += len(data)
    except ConnectionResetError:
        pass
    return number
