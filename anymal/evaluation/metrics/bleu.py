"""BLEU of one to four words, as COCO's evaluation computes it over a corpus.

Papineni et al., "BLEU" (ACL 2002), with the closest reference's length. Does not split text into
words.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anymal.evaluation.metrics.base import Judged, Picks

# COCO's: a caption without any match is not quite 0, so that its logarithm exists.
_TINY, _SMALL = 1e-15, 1e-9


def judge_bleu(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    *,
    longest: int = 4,
) -> Judged:
    """BLEU of captions; the corpus's is not their mean, but is made from the sums of their counts.

    Args:
        candidates: Words of one caption for each medium.
        references: Words of people's captions of each medium.
        longest: Words of the longest n-grams that count: 4 for BLEU-4.

    Returns:
        Between 0 and 1.
    """
    pairs = zip(candidates, references, strict=True)
    counts = np.array([_counts(words, captions, longest) for words, captions in pairs])

    def total(picks: Picks) -> float:
        return _bleu(np.bincount(picks, minlength=len(counts)) @ counts)

    return Judged(values=np.array([_bleu(row) for row in counts]), total=total)


def _counts(words: Sequence[str], captions: Sequence[Sequence[str]], longest: int) -> list[int]:
    """Its length, the closest of a reference, n-grams that a reference has too, all its n-grams."""
    length = len(words)
    closest = min((len(one) for one in captions), key=lambda n: (abs(n - length), n))
    shared = [_shared(words, captions, n) for n in range(1, longest + 1)]
    possible = [max(0, length - n + 1) for n in range(1, longest + 1)]
    return [length, closest, *shared, *possible]


def _bleu(counts: NDArray[np.int64]) -> float:
    """BLEU of one caption's counts, or of their sum over captions."""
    length, closest, *matches = (int(count) for count in counts)
    longest = len(matches) // 2
    logs = [
        math.log((shared + _TINY) / (possible + _SMALL))
        for shared, possible in zip(matches[:longest], matches[longest:], strict=True)
    ]
    ratio = (length + _TINY) / (closest + _SMALL)
    return math.exp(math.fsum(logs) / longest + min(0.0, 1 - 1 / ratio))


def _shared(words: Sequence[str], captions: Sequence[Sequence[str]], n: int) -> int:
    """How many n-grams a caption shares with its references, each as often as one has it."""
    most: Counter[tuple[str, ...]] = Counter()
    for caption in captions:
        most |= _grams(caption, n)
    return (_grams(words, n) & most).total()


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """The n-grams of one length, counted."""
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
