"""Captions against what people wrote: answers to words, and the words to a metric.

Does not compute: `cider.py`, `bleu.py` and `rouge.py` do, from words alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
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
        answer_key: Key of the JSON object that answers are asked to be; None where they are plain.
    """

    title: str
    compute: Compute
    tokenise: Tokenise = tokenise_all
    tokens: str = OWN_TOKENS
    answer_key: str | None = None
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
            self.tokenise([_caption(answer.text, self.answer_key) for answer in answers]),
            [words[start:end] for start, end in pairwise(ends)],
        )


def caption_metrics(
    tokenise: Tokenise = tokenise_all,
    tokens: str = OWN_TOKENS,
    *,
    answer_key: str | None = None,
    more: Mapping[str, Compute] | None = None,
) -> tuple[Metric, ...]:
    """CIDEr-D first, then ROUGE-L, BLEU-4 to BLEU-1 and more, on the words of one tokeniser.

    Args:
        tokenise: Splits captions into words.
        tokens: What the report calls these words.
        answer_key: See `CaptionMetric`.
        more: Further metrics by title.
    """
    computes: dict[str, Compute] = {"CIDEr-D": judge_cider_d, "ROUGE-L": judge_rouge_l}
    computes |= {f"BLEU-{n}": partial(judge_bleu, longest=n) for n in (4, 3, 2, 1)}
    return tuple(
        CaptionMetric(
            title=title, compute=compute, tokenise=tokenise, tokens=tokens, answer_key=answer_key
        )
        for title, compute in (computes | dict(more or {})).items()
    )


def _caption(text: str, key: str | None) -> str:
    """The caption in an answer: under a key of JSON, or all of it where it is no such JSON."""
    if key is None:
        return text
    try:
        found = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except json.JSONDecodeError:
        return text
    return found[key] if isinstance(found, dict) and isinstance(found.get(key), str) else text
