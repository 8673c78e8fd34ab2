"""VQA accuracy: how many of ten people gave this answer, three of whom are enough.

Goyal et al., "Making the V in VQA Matter" (CVPR 2017), and the rules of its official evaluation,
quirks included. Does not find an answer inside a sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from anymal.errors import DataError
from anymal.evaluation.metrics.base import Answer, Judged
from anymal.evaluation.metrics.contractions import CONTRACTIONS
from anymal.evaluation.scoring import Expected

_ENOUGH = 3
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_DIGITS = {"none": "0"} | {word: str(value) for value, word in enumerate(_NUMBERS)}
_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
# The official evaluation passes a flag where the number of replacements stands: at most 32.
_MOST_FULL_STOPS = int(re.UNICODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaAccuracy:
    """VQA accuracy of short answers; what people answered is in `references`.

    Attributes:
        variant: "official" normalises nothing where all people gave the same answer; "evalai", by
            which TextVQA is scored, always normalises, and splits off 's.
    """

    variant: Literal["official", "evalai"] = "official"
    chance: ClassVar[float | None] = 0.0
    needs_likelihoods: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """With the variant."""
        return f"VQA accuracy ({self.variant})"

    def judge(self, answers: Sequence[Answer], expected: Sequence[Expected]) -> Judged:
        """See `Metric`."""
        if short := [want.task for want in expected if len(want.references) < 2]:
            raise DataError(
                f"{len(short)} questions have fewer than two meta.references; VQA accuracy "
                "compares an answer with those of several people"
            )
        values = [
            self._accuracy(answer.text, want.references)
            for answer, want in zip(answers, expected, strict=True)
        ]
        return Judged(values=np.array(values))

    def _accuracy(self, text: str, references: Sequence[str]) -> float:
        """The mean over people, each left out in turn."""
        given, people = _one_line(text), [_one_line(one) for one in references]
        if self.variant == "evalai":
            given, *people = (normal_answer(_split_possessive(one)) for one in (given, *people))
        elif len(set(people)) > 1:
            given, *people = (normal_answer(one) for one in (given, *people))
        same = [one == given for one in people]
        return sum(min(1, (sum(same) - own) / _ENOUGH) for own in same) / len(people)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _split_possessive(text: str) -> str:
    lower = text.lower().replace(",", "").replace("?", "")
    return lower.replace("'s", " 's").strip()


def normal_answer(text: str) -> str:
    """An answer without signs and articles, numbers in digits, contractions with apostrophes."""
    kept = text
    for sign in _SIGNS:
        is_at_a_gap = f"{sign} " in text or f" {sign}" in text
        is_dropped = is_at_a_gap or _COMMA_IN_NUMBER.search(text)
        kept = kept.replace(sign, "" if is_dropped else " ")
    kept = _FULL_STOP.sub("", kept, count=_MOST_FULL_STOPS)
    words = (_DIGITS.get(word, word) for word in kept.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
