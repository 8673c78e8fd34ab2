"""Work on a thread that ends between two steps once nobody waits for it.

Does not end a step that is running; only a decoding process can be ended.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio

from server.errors import TimedOut


class _Stop:
    """When to stop."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.has_left = threading.Event()


_TOO_LONG = (
    "the media took longer than this service allows; send fewer or shorter ones, or raise the "
    "service's request_seconds"
)
_STOP: ContextVar[_Stop | None] = ContextVar("stop", default=None)


@contextmanager
def stopping_at(deadline: float) -> Iterator[None]:
    """Stop what is begun in the block at a time, or when the block ends.

    Args:
        deadline: On the clock of the event loop.
    """
    left_s = deadline - asyncio.get_running_loop().time()
    stop = _Stop(time.monotonic() + left_s)
    token = _STOP.set(stop)
    try:
        yield
    finally:
        stop.has_left.set()
        _STOP.reset(token)


def check_stopped() -> None:
    """Called on a thread between two steps.

    Raises:
        TimedOut: If the time is over or the block has ended. After the block, no caller is left to
            see it.
    """
    stop = _STOP.get()
    if stop is not None and (stop.has_left.is_set() or time.monotonic() > stop.deadline):
        raise TimedOut(_TOO_LONG)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Stop at a time on the clock of the event loop; see `Preparing` for threads."""
    with anyio.CancelScope(deadline=deadline) as scope, stopping_at(deadline):
        yield
    if scope.cancelled_caught:
        raise TimedOut(_TOO_LONG)
