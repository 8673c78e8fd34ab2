"""Exact match of short answers, after the normalisation of the official VQA evaluation.

Does not find an answer inside a sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from anymal.evaluation.metrics.base import Answer, Judged
from anymal.evaluation.metrics.vqa import normal_answer
from anymal.evaluation.scoring import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """Share of answers that are the expected one, but for signs, articles and digits."""

    name: ClassVar[str] = "exact match (VQA normalisation)"
    chance: ClassVar[float | None] = None
    needs_likelihoods: ClassVar[bool] = False

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`."""
        pairs = zip(answers, expected, strict=True)
        verdicts = [
            normal_answer(answer.text) == normal_answer(want.answer) for answer, want in pairs
        ]
        return Judged(values=np.array(verdicts, dtype=np.float64))
