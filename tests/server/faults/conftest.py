"""A service on a real port that is looked over after every test: it answers, and nothing leaked."""

import asyncio
import dataclasses
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.running import Service
from server.served.models import Backend
from server.settings import Settings

CHAT = "/v1/chat/completions"
SETTLED_WITHIN_S = 20.0


class Watched(Service):
    """Tells which event loop it runs on."""

    loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: Any = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)


@dataclasses.dataclass(kw_only=True)
class Live:
    """A running service."""

    app: FastAPI
    port: int
    service: Watched
    seen_before: tuple[int, int] = (0, 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, content: Any, **options: Any) -> httpx.Response:
        """A request over a connection of its own."""
        body = {"messages": [{"role": "user", "content": content}], **options}
        # By hand, so that NaN goes out as some clients write it.
        headers = {"content-type": "application/json"}
        return httpx.post(
            f"{self.url}{CHAT}", content=json.dumps(body), headers=headers, timeout=60
        )

    def connect(self, **options: int) -> socket.socket:
        """A bare line; options are of the socket, set before it is connected."""
        line = socket.socket()
        for name, value in options.items():
            line.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        line.connect(("127.0.0.1", self.port))
        return line

    def begin(self, content: Any, line: socket.socket, **options: Any) -> None:
        """Send a whole request over a bare line; read nothing."""
        line.sendall(request_bytes(content, **options))

    def census(self) -> tuple[int, int]:
        """Open descriptors of this process, and tasks of the service."""

        async def count() -> int:
            return len(asyncio.all_tasks())

        tasks = asyncio.run_coroutine_threadsafe(count(), self.service.loop).result(20)
        return len(os.listdir("/dev/fd")), tasks

    def settles(self, is_settled: Callable[[], bool]) -> bool:
        """Whether something becomes true before long."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not is_settled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def look_over(self) -> None:
        """It answers, nobody is in the house, and descriptors and tasks are as they were."""
        assert self.settles(lambda: self.app.state.drain.num_running == 0)
        answer = self.ask("hello", max_tokens=5)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["finish_reason"] in ("stop", "length")
        assert self.settles(lambda: self._leaks() == (0, 0)), f"leaked: {self._leaks()}"

    def _leaks(self) -> tuple[int, int]:
        found = (now - before for now, before in zip(self.census(), self.seen_before, strict=True))
        files, tasks = (max(0, number) for number in found)
        return files, tasks


@contextmanager
def running(app: FastAPI, **options: int) -> Iterator[Live]:
    """The app on a port; options are of the listening socket, and inherited."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        for name, value in options.items():
            listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        service = Watched(app, app.state.settings)
        thread = threading.Thread(target=service.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            live = Live(app=app, port=listener.getsockname()[1], service=service)
            assert live.ask("hello", max_tokens=5).status_code == 200
            time.sleep(0.05)  # the connection of that request is closed by now
            live.seen_before = live.census()
            yield live
            live.look_over()
        finally:
            service.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()


def request_bytes(content: Any, **options: Any) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": content}], **options}).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def hang_up(line: socket.socket) -> None:
    """Vanish: a reset, with no goodbye."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


@pytest.fixture(scope="session")
def run() -> Callable[..., AbstractContextManager[Live]]:
    """Runs an app on a port, and looks it over at the end of the block."""
    return running


@pytest.fixture
def vanish() -> Callable[[socket.socket], None]:
    return hang_up


@pytest.fixture
def raw_request() -> Callable[..., bytes]:
    return request_bytes


@pytest.fixture(scope="session")
def tiny() -> Iterator[Backend]:
    """The built-in model, which outlives the services around it."""
    from server.served.backend import load_backend

    backend = load_backend(Settings(max_requests=64))
    yield dataclasses.replace(backend, close=lambda: None)
    backend.close()
