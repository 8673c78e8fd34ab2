"""AUC: how often a positive medium gets a higher score than a negative one.

The area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil 1982); equal scores
count half. Does not compute the scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from anymal.errors import DataError
from anymal.evaluation.metrics.base import Answer, Judged, Picks
from anymal.evaluation.scoring import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Auc:
    """AUC of a task with two choices.

    Attributes:
        positive: The choice that means "it is one".
    """

    positive: str = "yes"
    chance: ClassVar[float | None] = 0.5
    needs_likelihoods: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """From what the scores are made."""
        return "AUC (label probabilities)"

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`; a question's value is how often it stands on its label's side of others."""
        labels = np.array([want.answer == self.positive for want in expected])
        if labels.all() or not labels.any():
            raise DataError(
                f"AUC needs questions with the answer '{self.positive}' and others; all "
                f"{len(labels)} are of one kind, so evaluate more of them"
            )
        pairs = zip(answers, expected, strict=True)
        scores = np.array([self._score(answer, want) for answer, want in pairs])
        values = np.empty(len(scores))
        values[labels] = _share_below(scores[labels], scores[~labels])
        values[~labels] = _share_below(-scores[~labels], -scores[labels])

        def total(picks: Picks) -> float:
            return auc(scores[picks], labels[picks])

        return Judged(values=values, total=total)

    def _score(self, answer: Answer, want: Expected) -> float:
        """Log-odds of the positive choice: of the same order as its probability."""
        if len(want.choices) != 2 or self.positive not in want.choices:
            raise DataError(
                f"AUC takes two choices of which one is '{self.positive}'; found {want.choices}"
            )
        if len(answer.likelihoods) != 2:
            raise DataError("AUC needs the log-likelihood of both choices; answer by likelihood")
        place = want.choices.index(self.positive)
        return answer.likelihoods[place] - answer.likelihoods[1 - place]


def auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The share of pairs, one of each label, in which the positive one scores higher.

    Args:
        scores: `[N] float`.
        labels: `[N] bool`; true is positive.

    Returns:
        Between 0 and 1; 0.5 where one label is absent, as a bootstrap of few questions may draw.
    """
    if labels.all() or not labels.any():
        return 0.5
    return float(_share_below(scores[labels], scores[~labels]).mean())


def _share_below(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each score, the share of the others that are lower, ties by half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return (below + not_above) / (2 * len(others))
