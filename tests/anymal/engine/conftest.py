"""A decoder whose ids are bytes and whose answer is its prompt."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling


class ByteDecoder:
    """Says the prompt's words, one byte a step; a test may hold or break it at a step."""

    def __init__(self) -> None:
        self.context = 1000
        self.steps = threading.Semaphore(0)
        self.is_held = False
        self.breaks_at: int | None = None
        self.num_steps = 0
        self.num_closed = 0
        self.last_sampling: Sampling | None = None

    def decode(self, prompt: Prompt, sampling: Sampling) -> Iterator[int]:
        self.last_sampling = sampling
        try:
            for index, byte in enumerate(_words(prompt)[: sampling.max_tokens]):
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

    def room(self, prompt: Prompt) -> int:
        return self.context - len(prompt)


def _words(prompt: Prompt) -> Sequence[int]:
    return prompt.segments[0].ids  # type: ignore[union-attr]


@pytest.fixture
def decoder() -> ByteDecoder:
    return ByteDecoder()
