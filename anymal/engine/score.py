"""Prompts that get a number in the place of an answer: what a read-out makes of their end.

Does not run the layers; the runners do. Torch-free.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anymal.engine.events import Event, Score, TokenCounts
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Reading, Result
from anymal.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

Read = Callable[["Tensor"], "Tensor"]
"""From hidden states `[N, D]` to a number of each, `[N]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToScore:
    """Asks for the number of a prompt.

    Attributes:
        read: Reads it, of the hidden state at the prompt's last position.
    """

    read: Read


def reading_of(read: Read, hidden: "Tensor") -> Reading | Exception:
    """What one prompt gets.

    Args:
        read: See `ToScore`.
        hidden: `[1, D]`, at its last position.
    """
    value = read(hidden)[0]
    if not bool(value.isfinite()):
        return EngineError("the model's score is not finite; check what it was given")
    return Reading(value=float(value))


class ScoreReply:
    """The one event of a prompt that gets a number; see `Growing`."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def push(self, result: Result, *, limit: int, num_cached: int) -> list[Event]:
        """See `Growing.push`."""
        assert isinstance(result, Reading), "a runner reads what asks for a number"
        counts = TokenCounts(
            prompt=len(self._prompt),
            completion=0,
            cached=num_cached,
            by_kind=self._prompt.counts(),
        )
        return [Score(value=result.value, counts=counts)]
