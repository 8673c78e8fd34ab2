"""Work on a thread that ends between two steps."""

import asyncio
import threading

import anyio.to_thread
import pytest

from server.answering.stopping import check_stopped, stopping_at
from server.errors import TimedOut


def steps(may_go_on: threading.Event) -> None:
    check_stopped()
    may_go_on.wait(10)
    check_stopped()


async def test_work_goes_on_in_its_time() -> None:
    with stopping_at(asyncio.get_running_loop().time() + 60):
        await anyio.to_thread.run_sync(check_stopped)
    check_stopped()


async def test_work_ends_at_its_deadline() -> None:
    with (
        pytest.raises(TimedOut, match="request_seconds"),
        stopping_at(asyncio.get_running_loop().time() - 1),
    ):
        await anyio.to_thread.run_sync(check_stopped)


async def test_work_ends_when_its_block_was_left() -> None:
    may_go_on = threading.Event()
    with stopping_at(asyncio.get_running_loop().time() + 60):
        work = asyncio.ensure_future(anyio.to_thread.run_sync(steps, may_go_on))
        await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(TimedOut):
        await work
