"""What a metric is: answers and what was expected go in, one value for each question comes out.

Does not ask a model, and does not know which benchmark a question is from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anymal.evaluation.scoring import Expected

Values = NDArray[np.float64]
Picks = NDArray[np.intp]
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said to one question.

    Attributes:
        text: Its words; where it was asked by letter or by log-likelihood, the chosen one of
            `Expected.choices`.
        likelihoods: Log-likelihood of each of `Expected.choices`, in their order; empty where they
            were not asked for.
    """

    text: str
    likelihoods: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The values of all questions, and the figure that they make together.

    Attributes:
        values: One for each question, `[N] float`; 0 is a wrong answer.
        total: From indices of questions, repeats counted, to the figure over those; None where it
            is the mean of their values.
        highest: What a right answer is worth: 1, or 10 by CIDEr-D.
    """

    values: Values
    total: Callable[[Picks], float] | None = None
    highest: float = 1.0

    def __post_init__(self) -> None:
        is_bounded = self.total is not None or (self.values <= self.highest + _ROUNDING).all()
        assert is_bounded, "a metric whose values go beyond 1 has to say how far"

    def over(self, picks: Picks) -> float:
        """The figure over some questions.

        Args:
            picks: Indices of questions, `[K] int`; a bootstrap repeats some.
        """
        return float(self.values[picks].mean()) if self.total is None else self.total(picks)

    @property
    def figure(self) -> float:
        """The figure over all questions."""
        return self.over(np.arange(len(self.values)))


class Metric(Protocol):
    """One figure about the answers of a task.

    Attributes:
        name: What the report calls it, with its variant, such as `CIDEr-D (own tokens)`.
        chance: What answers that know nothing of the medium reach; None where it is to be computed
            from the choices.
        needs_likelihoods: Whether `Answer.likelihoods` are needed.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def chance(self) -> float | None:
        """See above."""

    @property
    def needs_likelihoods(self) -> bool:
        """See above."""

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """Judge all answers of a task.

        Args:
            answers: One for each question.
            expected: What each has to say, in the same order; `references` where people wrote
                several answers.

        Raises:
            DataError: If what was expected lacks what this metric compares with.
        """
