"""A decoder whose ids are bytes and whose answer is written beforehand."""

import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest

from anymal.engine.sampling import Sampling


class ByteDecoder:
    """Says `sample`, one byte a step; a test may hold it at each step or break it at one."""

    def __init__(self) -> None:
        self.context = 1000
        self.steps = threading.Semaphore(0)
        self.is_held = False
        self.breaks_at: int | None = None
        self.num_steps = 0
        self.num_closed = 0
        self.last_sampling: Sampling | None = None

    def decode(self, sample: str, sampling: Sampling) -> Iterator[int]:
        self.last_sampling = sampling
        try:
            for index, byte in enumerate(sample.encode()[: sampling.max_tokens]):
                if self.is_held:
                    assert self.steps.acquire(timeout=10)
                if index == self.breaks_at:
                    raise RuntimeError("out of luck")
                self.num_steps += 1
                yield byte
        finally:
            self.num_closed += 1

    def text(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def room(self, sample: str) -> int:
        return self.context - 10

    def prompt_counts(self, sample: str) -> Mapping[str, int]:
        return {"text": 4, "image": 6}


@pytest.fixture
def decoder() -> ByteDecoder:
    return ByteDecoder()
