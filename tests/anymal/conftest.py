"""A fake of a model behind an engine."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from anymal.engine.events import Logprob
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.reply import Drawn
from anymal.errors import TooLong


class ByteRunner:
    """A model whose ids are bytes and whose answer is its prompt, one byte a step.

    A test may hold it at each step, and break steps or single answers at a letter.
    """

    context = 1000
    num_blocks = 200
    block_bytes = 100
    root: "bytes | None" = b"root"
    reads_ahead = False

    def __init__(self) -> None:
        self.vocabulary: Any = self
        self.said: list[str] = []
        self.samplings: list[Any] = []
        self.batches: list[int] = []
        self.scrubbed: list[int] = []
        self.breaks_step_at = self.breaks_answer_at = ""
        self._steps = threading.Semaphore(0)
        self._is_held = False

    def hold(self) -> None:
        """Take no step but those that `let` allows."""
        self._is_held = True

    def let(self, number: int) -> None:
        """Allow some steps."""
        for _ in range(number):
            self._steps.release()

    def let_go(self) -> None:
        """Allow all of them."""
        self._is_held = False
        self.let(1000)

    def check(self, prompt: Any) -> None:
        """Refuses prompts with a byte that is none."""
        if max(prompt.spans[0].ids, default=0) > 255:
            raise TooLong("no byte")

    def step(self, works: Any) -> list[Any]:
        if self._is_held:
            assert self._steps.acquire(timeout=10)
        self.batches.append(len(works))
        return [self._draw(work.request) if work.is_complete else None for work in works]

    def _draw(self, request: Any) -> Any:
        number, words = len(request.ids), request.prompt.spans[0].ids
        if number == 0:
            self.said.append("")
            self.samplings.append(request.sampling)
            request.drawer = len(self.said) - 1
        if number == len(words):
            return Drawn(id=0, ends=True)
        letter = chr(words[number])
        if letter == self.breaks_step_at:
            raise RuntimeError("out of luck")
        if letter == self.breaks_answer_at:
            return RuntimeError("out of luck alone")
        self.said[request.drawer] += letter
        return Drawn(id=words[number], logprob=None if request.sampling.logprobs is None else -1.0)

    def scrub(self, blocks: Any) -> None:
        self.scrubbed += blocks

    @property
    def stop(self) -> str:
        return ""

    def text(self, ids: Any) -> str:
        return bytes(ids).decode(errors="replace")

    def logprob(self, id_: int, logprob: float, top: Any) -> Logprob:
        return Logprob(token=chr(id_), bytes_=bytes([id_]), logprob=logprob)


@pytest.fixture
def byte_runner() -> ByteRunner:
    return ByteRunner()


@pytest.fixture(scope="session")
def say() -> "Callable[[str], Prompt]":
    """Makes a prompt that `ByteRunner` says back, a motion of six positions behind its words."""

    def make(text: str) -> Prompt:
        motion: Any = range(6)
        words = TokenSpan(ids=tuple(text.encode()))
        return Prompt(spans=(words, EmbeddingSpan(embeddings=motion, digest="0", kind="imu")))

    return make
