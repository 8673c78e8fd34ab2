"""Whether the right choice was taken, by an answer that is one of the choices.

Does not read words; see `anymal.evaluation.ways` for how a choice is learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from anymal.evaluation.metrics.base import Answer, Judged
from anymal.evaluation.scoring import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Share of answers that are the right choice.

    Attributes:
        way: How the choice was learnt.
    """

    way: str
    chance: ClassVar[float | None] = None
    needs_likelihoods: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """See `Metric`."""
        return f"right (by {self.way})"

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`."""
        pairs = zip(answers, expected, strict=True)
        verdicts = [answer.text == want.answer for answer, want in pairs]
        return Judged(values=np.array(verdicts, dtype=np.float64))
