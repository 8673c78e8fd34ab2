"""Time limits of a connection: for a request's head, for unread answers, and for dead clients.

Does not know requests; uvicorn's protocol does, and this adds the time limits that it lacks.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds to send the remaining bytes of a connection that is closing.
_FLUSH_S = 5.0
# Read at once. asyncio's 256 KiB may hold 40,000 chunks of one byte, and a second's parsing.
_READ_BYTES = 2**15


class ServerConnection(H11Protocol):
    """HTTP/1.1 with time limits; subclass it to set other ones."""

    head_seconds = 10.0
    stall_seconds = 30.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_alarm = Alarm(self.loop, self.head_seconds, self._abort)
        self._stall_alarm = Alarm(self.loop, self.stall_seconds, self._abort)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: the head of its first request is due."""
        super().connection_made(transport)
        _send_at_once(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; the deadline of a head counts from its first byte."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """A response is complete; the next head may have begun already."""
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        """The send buffer is full: the app waits until the client reads."""
        super().pause_writing()
        self._stall_alarm.set()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stall_alarm.clear()

    def timeout_keep_alive_handler(self) -> None:
        """No further request came; unread bytes must not keep the connection open."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_FLUSH_S, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client disconnected, or was disconnected."""
        self._head_alarm.clear()
        self._stall_alarm.clear()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Start the clock while the client owes bytes, else stop it."""
        if self._is_client_due():
            self._head_alarm.set()
        else:
            self._head_alarm.clear()

    def _is_client_due(self) -> bool:
        """Whether the client owes a head, or the rest of a body that was refused already."""
        if self.transport.is_closing():
            return False
        if self.conn.their_state is h11.IDLE:  # between requests there is the keep-alive time
            return self.cycle is None or bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _abort(self) -> None:
        # Closing would wait for the client to take what is unsent.
        self.transport.abort()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Send each piece of a stream without waiting until the client acknowledged the last one.

    asyncio does so only for sockets that were made with TCP as their explicit protocol, and
    `socket.create_server` makes others; each answer would lose some 40 ms.
    """
    line = transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Alarm:
    """Calls a function after a while, unless it is cleared before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._action = action
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Start the clock, unless it is running."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._action)

    def clear(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def connection_class(*, head_seconds: float, stall_seconds: float) -> type[ServerConnection]:
    """Connections with these time limits.

    Args:
        head_seconds: How long a request's head may take, from the connection's beginning or the
            head's own first byte.
        stall_seconds: How long a client may leave an answer unread once so much of it waits that
            the service does too.
    """
    limits = {"head_seconds": head_seconds, "stall_seconds": stall_seconds}
    return type("TimedConnection", (ServerConnection,), limits)


def notice_dead_lines(listener: socket.socket, *, seconds: float) -> None:
    """Let the system end connections whose other end is gone; accepted ones inherit it.

    Args:
        listener: A listening socket.
        seconds: How long sent bytes may stay without an answer.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_USER_TIMEOUT", round(1000 * seconds)),
        ("TCP_KEEPIDLE", round(seconds)),
        ("TCP_KEEPINTVL", 5),
    ):
        if hasattr(socket, option):  # Linux has them all
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), max(1, value))
