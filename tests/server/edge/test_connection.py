"""Time limits of one connection, on a clock that only the test moves."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from server.edge.connection import ServerConnection, connection_class, notice_dead_lines

HEAD = b"GET /a HTTP/1.1\r\nHost: anymal\r\n\r\n"


@dataclass
class Timer:
    seconds: float
    action: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class Loop:
    """Keeps timers for the test to fire; tasks run on the real loop."""

    timers: list[Timer] = field(default_factory=list)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        self.timers.append(Timer(seconds, action))
        return self.timers[-1]

    def create_task(self, work: Any) -> Any:
        return asyncio.get_running_loop().create_task(work)

    def waiting(self, seconds: float) -> list[Timer]:
        return [
            timer for timer in self.timers if timer.seconds == seconds and not timer.is_cancelled
        ]


class Line(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.has_closed = False
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.has_closed or self.is_aborted

    def close(self) -> None:
        self.has_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading a body."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def connection(loop: Loop, line: Line) -> ServerConnection:
    kind = connection_class(head_seconds=7, stall_seconds=13)
    config = uvicorn.Config(answer, ws="none", log_config=None, timeout_keep_alive=5)
    made = kind(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    made.connection_made(line)
    return made


async def answered(connection: ServerConnection) -> None:
    await asyncio.gather(*connection.tasks)


async def test_client_that_says_nothing_is_sent_away(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    (timer,) = loop.waiting(7)
    assert not line.is_aborted
    timer.action()
    assert line.is_aborted


async def test_head_that_drips_does_not_gain_time(connection: ServerConnection, loop: Loop) -> None:
    (timer,) = loop.waiting(7)
    for byte in HEAD[:-1]:
        connection.data_received(bytes([byte]))
    assert loop.waiting(7) == [timer]
    connection.data_received(HEAD[-1:])
    assert loop.waiting(7) == []
    await answered(connection)


async def test_quiet_between_requests_is_the_keep_alives(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    connection.data_received(HEAD)
    await answered(connection)
    assert line.sent.endswith(b"ok")
    assert loop.waiting(7) == []
    assert len(loop.waiting(5)) == 1
    connection.data_received(HEAD[:9])  # the next head has begun
    assert loop.waiting(5) == []
    assert len(loop.waiting(7)) == 1


async def test_requests_in_one_piece_are_all_answered(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    connection.data_received(HEAD + HEAD + HEAD[:9])
    await answered(connection)
    await answered(connection)
    assert line.sent.count(b"200 OK") == 2
    assert len(loop.waiting(7)) == 1


async def test_rest_of_a_refused_body_has_a_time_too(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    connection.data_received(b"POST /a HTTP/1.1\r\nHost: anymal\r\nContent-Length: 999\r\n\r\nx")
    assert loop.waiting(7) == []
    await answered(connection)
    (timer,) = loop.waiting(7)
    connection.data_received(b"x")
    assert loop.waiting(7) == [timer]
    connection.data_received(b"x" * 997)
    assert loop.waiting(7) == []


async def test_client_that_does_not_read_is_sent_away(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    connection.pause_writing()
    connection.resume_writing()
    assert loop.waiting(13) == []
    connection.pause_writing()
    (timer,) = loop.waiting(13)
    timer.action()
    assert line.is_aborted


async def test_idle_connection_does_not_wait_for_what_nobody_takes(
    connection: ServerConnection, loop: Loop, line: Line
) -> None:
    connection.data_received(HEAD)
    await answered(connection)
    loop.waiting(5)[0].action()  # the keep-alive time is over
    assert line.has_closed
    assert not line.is_aborted
    loop.waiting(5)[-1].action()
    assert line.is_aborted


async def test_lost_connection_leaves_no_timers(connection: ServerConnection, loop: Loop) -> None:
    connection.pause_writing()
    connection.connection_lost(None)
    assert [timer for timer in loop.timers if not timer.is_cancelled] == []


async def test_pieces_of_a_stream_are_sent_at_once(line: Line, loop: Loop) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        line.get_extra_info = lambda name, default=None: (  # type: ignore[method-assign]
            accepted if name == "socket" else default
        )
        config = uvicorn.Config(answer, ws="none", log_config=None)
        made = ServerConnection(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        made.connection_made(line)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_dead_lines_are_noticed_by_accepted_sockets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        notice_dead_lines(listener, seconds=30)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
