"""A pool whose files say what its processes do, and ways to look at these."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from anymal.decoding.fork_server import ForkServer
from anymal.decoding.job import Bounds
from anymal.decoding.pool import DecoderPool
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import Medium
from tests.odd_decoders import WORK

SETTLED_WITHIN_S = 60.0


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Forks processes that decode oddly."""
    with closing(ForkServer(WORK)) as server:
        yield server


@pytest.fixture
def make_pool(forks: ForkServer) -> Iterator[Callable[..., DecoderPool]]:
    """Makes pools of the odd decoder, closed at the end; by default of one process."""
    pools: list[DecoderPool] = []

    def make(workers: int = 1, **bounds: int) -> DecoderPool:
        pools.append(DecoderPool(workers, bounds=Bounds(**bounds), forks=forks))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Decodes a file of some words, by a pool or an errand."""

    def decode(decoder: Any, words: str, *, name: str = "odd.bin") -> Any:
        medium = Medium(source=Source(name=name, data=words.encode()))
        return decoder.decode(medium, None, modality="image", limits=Limits())

    return decode


@pytest.fixture
def settles() -> Callable[[Callable[[], bool]], bool]:
    """Whether something becomes true before long."""

    def wait(is_settled: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not is_settled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    return wait


@pytest.fixture
def begun(tmp_path: Path, settles: Any) -> Callable[[str], int]:
    """Waits until a process has written its number, and returns that."""

    def number(name: str) -> int:
        path = tmp_path / name
        assert settles(path.exists)
        return int(path.read_text())

    return number


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """Whether there is a process of this number."""

    def look(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    return look
