"""Right or wrong, as a task's scorer decides from the words of an answer.

Does not read words itself; see `anymal.evaluation.scoring`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anymal.evaluation.metrics.base import Answer, Judged
from anymal.evaluation.results import RIGHT
from anymal.evaluation.scoring import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class RightOrWrong:
    """Share of right answers; by default the metric of tasks that name no other.

    Attributes:
        scorer: Whether an answer is right.
        name: See `Metric`, as for the others.
        chance: See `Metric`.
        needs_likelihoods: See `Metric`.
    """

    scorer: Callable[[str, Expected], bool]
    name: str = RIGHT
    chance: float | None = None
    needs_likelihoods: bool = False

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`."""
        pairs = zip(answers, expected, strict=True)
        verdicts = [self.scorer(answer.text, want) for answer, want in pairs]
        return Judged(values=np.asarray(verdicts, dtype=np.float64))
