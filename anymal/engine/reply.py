"""Tokens of one answer to its events: text, stop strings, log-probabilities, counts.

Does not draw tokens and does not know how they are scheduled. Torch-free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from anymal.engine.events import (
    EndReason,
    Event,
    Finished,
    Likelihood,
    Logprob,
    TextDelta,
    TokenCounts,
)
from anymal.engine.prompt import Prompt
from anymal.engine.repetition import Repetition
from anymal.engine.sampling import Sampling
from anymal.engine.text import AnswerText


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A token with the logarithm of its probability."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The next token of an answer.

    Attributes:
        id: Which.
        logprob: Its own, if asked for.
        top: The likeliest, likeliest first, as many as were asked for.
        ends: Whether the model ends its answer with it.
    """

    id: int
    logprob: float | None = None
    top: tuple[Scored, ...] = ()
    ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The number that was read at the end of a prompt."""

    value: float


Result = Drawn | Likelihood | Reading
"""What a runner tells of a request: its next token, how likely its answer is, or its number."""


class Growing(Protocol):
    """The answer of one request."""

    def push(self, result: Result, *, limit: int, num_cached: int) -> list[Event]:
        """Take a result.

        Args:
            result: The runner's.
            limit: Most tokens of the answer.
            num_cached: Positions of the prompt that were found and not computed.

        Returns:
            Events, the last one of the answer at its end.
        """
        ...


class Vocabulary(Protocol):
    """Ids to text."""

    @property
    def stop(self) -> str:
        """Text that ends every answer, as the stop strings of a request do; "" is none."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """The text of some ids, bytes that are no whole character as U+FFFD."""
        ...

    def logprob(self, id_: int, logprob: float, top: Sequence[Scored]) -> Logprob:
        """A token's log-probability, with its text and bytes."""
        ...


class Reply:
    """The answer to one prompt while it grows."""

    def __init__(self, vocabulary: Vocabulary, prompt: Prompt, sampling: Sampling) -> None:
        self._vocabulary = vocabulary
        self._prompt = prompt
        own = (vocabulary.stop,) if vocabulary.stop else ()
        self._text = AnswerText(vocabulary.text, (*own, *sampling.stop))
        self._repetition = Repetition() if sampling.stop_repetition else None
        self._logprobs: list[Logprob] = []
        self._num_tokens = 0

    def push(self, result: Result, *, limit: int, num_cached: int) -> list[Event]:
        """Add a token; `Finished` is the last event if it ends the answer. See `Growing.push`."""
        assert isinstance(result, Drawn), "a runner draws the tokens of an answer that grows"
        drawn = result
        if drawn.ends:
            return self._finish("stop", num_cached)
        self._num_tokens += 1
        if drawn.logprob is not None:
            self._logprobs.append(self._vocabulary.logprob(drawn.id, drawn.logprob, drawn.top))
        events = self._say(self._text.push(drawn.id))
        if self._text.has_stopped:
            return events + self._finish("stop", num_cached)
        if self._repetition is not None and self._repetition.push(drawn.id):
            return events + self._finish("repetition", num_cached)
        if self._num_tokens == limit:
            return events + self._finish("length", num_cached)
        return events

    def _finish(self, reason: EndReason, num_cached: int) -> list[Event]:
        events = self._say(self._text.flush())
        counts = TokenCounts(
            prompt=len(self._prompt),
            completion=self._num_tokens,
            cached=num_cached,
            by_kind=dict(self._prompt.counts()),
        )
        # The last piece may complete a stop string.
        reason = "stop" if self._text.has_stopped else reason
        finished = Finished(reason=reason, counts=counts, logprobs=tuple(self._logprobs))
        return [*events, finished]

    def _say(self, piece: str) -> list[Event]:
        if not piece:
            return []
        logprobs, self._logprobs = tuple(self._logprobs), []
        return [TextDelta(text=piece, logprobs=logprobs)]
