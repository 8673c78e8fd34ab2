"""CIDEr-D: how much of what people say, and only they say, about a medium a caption says too.

Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation" (CVPR 2015), section 4 and
its variant D, with the constants of COCO's evaluation. Does not split text into words.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anymal.evaluation.metrics.base import Judged

_LONGEST = 4  # words of an n-gram
_SIGMA = 6.0  # words by which two captions may differ in length
SCALE = 10.0  # what a caption equal to its references is worth

Gram = tuple[str, ...]


def judge_cider_d(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Judged:
    """CIDEr-D of captions; the corpus's is their mean.

    Args:
        candidates: Words of one caption for each medium.
        references: Words of people's captions of each medium. How rare an n-gram is, is counted
            over these: a part of a benchmark gives other values than the whole.

    Returns:
        From 0 to 10 for each medium; tables write it times 100.
    """
    media = Counter(
        gram for captions in references for gram in {g for words in captions for g in _grams(words)}
    )
    log_size = math.log(len(references))

    def rarity(gram: Gram) -> float:
        return log_size - math.log(max(1, media[gram]))

    values = []
    for words, captions in zip(candidates, references, strict=True):
        mine = _Weighed.of(words, rarity)
        likenesses = [_likeness(mine, _Weighed.of(caption, rarity)) for caption in captions]
        values.append(SCALE * math.fsum(likenesses) / len(captions))
    return Judged(values=np.array(values), highest=SCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    """A caption as TF-IDF weights of its n-grams, by their length; with the norm of each length."""

    weights: Sequence[Mapping[Gram, float]]
    norms: Sequence[float]
    num_words: int

    @classmethod
    def of(cls, words: Sequence[str], rarity: Callable[[Gram], float]) -> "_Weighed":
        weights: list[dict[Gram, float]] = [{} for _ in range(_LONGEST)]
        for gram, count in Counter(_grams(words)).items():
            weights[len(gram) - 1][gram] = count * rarity(gram)
        norms = [math.sqrt(math.fsum(w * w for w in one.values())) for one in weights]
        return cls(weights=weights, norms=norms, num_words=len(words))


def _likeness(mine: _Weighed, theirs: _Weighed) -> float:
    """How alike two captions are, from 0 to 1: the mean over the lengths of n-grams."""
    total = 0.0
    for n in range(_LONGEST):
        norm = mine.norms[n] * theirs.norms[n]
        if norm:
            both = mine.weights[n].keys() & theirs.weights[n].keys()
            pairs = [(mine.weights[n][gram], theirs.weights[n][gram]) for gram in both]
            # What a caption repeats more often than its reference gains nothing.
            total += math.fsum(min(own, other) * other for own, other in pairs) / norm
    gap = mine.num_words - theirs.num_words
    return math.exp(-(gap**2) / (2 * _SIGMA**2)) * total / _LONGEST


def _grams(words: Sequence[str]) -> Iterable[Gram]:
    """All n-grams, repeats kept."""
    return (
        tuple(words[start : start + n])
        for n in range(1, _LONGEST + 1)
        for start in range(len(words) - n + 1)
    )
