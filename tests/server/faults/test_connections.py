"""A thousand connections at once, and more than are allowed."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.faults
MANY = 1000


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MANY + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _statuses(port: int, request: bytes, number: int) -> Counter[int]:
    """Open all lines, then send on all, then read from all."""
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(number)]
    for _, writer in lines:
        writer.write(request)
    statuses = Counter[int]()
    for reader, _ in lines:
        head = await asyncio.wait_for(reader.readline(), 60)
        statuses[int(head.split()[1])] += 1
    for _, writer in lines:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in lines), return_exceptions=True)
    return statuses


def test_a_thousand_connections_are_answered(
    make_app: Callable[..., FastAPI], run: Any, raw_request: Any
) -> None:
    with run(make_app(max_requests=16)) as live:
        statuses = asyncio.run(_statuses(live.port, raw_request("hello"), MANY))
        assert statuses.total() == MANY
        assert set(statuses) <= {200, 429}
        assert statuses[200] >= 16


def test_more_than_are_allowed_are_told(make_app: Callable[..., FastAPI], run: Any) -> None:
    with run(make_app(max_connections=20)) as live:
        with ExitStack() as stack:
            for _ in range(19):
                _let_in(live, stack)
            assert live.settles(lambda: httpx.get(f"{live.url}/healthz").status_code == 503)
            assert httpx.get(f"{live.url}/healthz").status_code == 503
        assert live.settles(lambda: httpx.get(f"{live.url}/healthz").status_code == 200)


def _let_in(live: Any, stack: ExitStack) -> None:
    """A connection that has asked for something, and stays."""
    line = stack.enter_context(live.connect())
    line.sendall(b"GET /healthz HTTP/1.1\r\nHost: anymal\r\n\r\n")
    assert b" 200 " in line.recv(1000)
