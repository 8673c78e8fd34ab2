"""Answers that are given, whose likelihoods are asked for in the place of a new answer.

Does not compute; `grade` does. Torch-free.
"""

from dataclasses import dataclass

from anymal.engine.events import Event, Likelihood, Likelihoods, TokenCounts
from anymal.engine.prompt import Prompt, TokenSpan
from anymal.engine.reply import Result
from anymal.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Answers to one prompt.

    Attributes:
        answers: The ids of each.
    """

    answers: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.answers or () in self.answers:
            raise EngineError("an answer without tokens has no likelihood; give at least one token")


def read_up_to_the_last(prompt: Prompt, ids: tuple[int, ...]) -> Prompt:
    """What has to be read to grade an answer: its last token is predicted, and never read."""
    return Prompt(spans=(*prompt.spans, TokenSpan(ids=ids[:-1])), owner=prompt.owner)


class Tally:
    """Collects the likelihoods of one prompt's answers, each from a request of its own."""

    def __init__(self, prompt: Prompt, given: Given) -> None:
        """Starts empty.

        Args:
            prompt: What they answer.
            given: The answers.
        """
        self._prompt = prompt
        self._given = given
        self._found: dict[int, Likelihood] = {}
        self._num_cached = 0

    def add(self, index: int, likelihood: Likelihood, *, num_cached: int) -> list[Event]:
        """Take one; returns the event that tells all of them, once there are all.

        Args:
            index: Of the answer.
            likelihood: How likely it is.
            num_cached: Positions of the prompt that were found and not computed. Later answers find
                what the first has computed, so only the first one's count.
        """
        self._found[index] = likelihood
        if index == 0:
            self._num_cached = num_cached
        if len(self._found) < len(self._given.answers):
            return []
        counts = TokenCounts(
            prompt=len(self._prompt),
            completion=sum(map(len, self._given.answers)),
            cached=self._num_cached,
            by_kind=self._prompt.counts(),
        )
        answers = tuple(self._found[number] for number in range(len(self._found)))
        return [Likelihoods(answers=answers, counts=counts)]


class GivenReply:
    """The place of one answer in a tally; see `Growing`."""

    def __init__(self, tally: Tally, index: int) -> None:
        self._tally = tally
        self._index = index

    def push(self, result: Result, *, limit: int, num_cached: int) -> list[Event]:
        """See `Growing.push`."""
        assert isinstance(result, Likelihood), "a runner grades what is given, and draws nothing"
        return self._tally.add(self._index, result, num_cached=num_cached)
