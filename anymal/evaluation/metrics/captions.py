"""Captions against what people wrote: answers to words, and the words to a metric.

Does not compute: `cider.py`, `bleu.py` and `rouge.py` do, from words alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import ClassVar

from anymal.errors import DataError
from anymal.evaluation.metrics.base import Answer, Judged, Metric
from anymal.evaluation.metrics.bleu import judge_bleu
from anymal.evaluation.metrics.cider import judge_cider_d
from anymal.evaluation.metrics.rouge import judge_rouge_l
from anymal.evaluation.metrics.tokens import tokenise_all
from anymal.evaluation.scoring import Expected

Words = Sequence[str]
Tokenise = Callable[[Sequence[str]], list[list[str]]]
Compute = Callable[[Sequence[Words], Sequence[Sequence[Words]]], Judged]

OWN_TOKENS = "own tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionMetric:
    """A metric that compares the words of a caption with those of its references.

    Attributes:
        title: Its name.
        compute: From the words of each caption, and of the references of each, to the values.
        tokenise: Splits captions into words, many at a time.
        tokens: What the report calls these words, which move most metrics.
    """

    title: str
    compute: Compute
    tokenise: Tokenise = tokenise_all
    tokens: str = OWN_TOKENS
    chance: ClassVar[float | None] = 0.0
    needs_likelihoods: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """With the variant."""
        return f"{self.title} ({self.tokens})"

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`."""
        sizes = [len(want.references) for want in expected]
        if 0 in sizes:
            raise DataError(
                f"question {sizes.index(0) + 1} has no meta.references; {self.title} compares "
                "captions with them"
            )
        words = self.tokenise([one for want in expected for one in want.references])
        ends = [0, *accumulate(sizes)]
        return self.compute(
            self.tokenise([answer.text for answer in answers]),
            [words[start:end] for start, end in pairwise(ends)],
        )


def caption_metrics(
    tokenise: Tokenise = tokenise_all, tokens: str = OWN_TOKENS
) -> tuple[Metric, ...]:
    """CIDEr-D first, then ROUGE-L and BLEU-1 to BLEU-4, on the words of one tokeniser."""
    computes: dict[str, Compute] = {"CIDEr-D": judge_cider_d, "ROUGE-L": judge_rouge_l}
    computes |= {f"BLEU-{n}": partial(judge_bleu, longest=n) for n in range(1, 5)}
    return tuple(
        CaptionMetric(title=title, compute=compute, tokenise=tokenise, tokens=tokens)
        for title, compute in computes.items()
    )
