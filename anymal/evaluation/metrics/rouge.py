"""ROUGE-L, as COCO's evaluation computes it: recall counts more than precision.

Lin, "ROUGE" (2004), section 3. Precision and recall are each the best over all references, even
of two different ones. Does not split text into words.
"""

from collections.abc import Sequence

import numpy as np

from anymal.evaluation.metrics.base import Judged

_BETA = 1.2


def judge_rouge_l(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Judged:
    """ROUGE-L of captions; the corpus's is their mean.

    Args:
        candidates: Words of one caption for each medium.
        references: Words of people's captions of each medium.

    Returns:
        Between 0 and 1.
    """
    pairs = zip(candidates, references, strict=True)
    return Judged(values=np.array([_rouge_l(words, captions) for words, captions in pairs]))


def _rouge_l(words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one caption."""
    in_common = [_longest_in_common(words, reference) for reference in references]
    if not any(in_common):
        return 0.0
    precision = max(in_common) / len(words)
    recall = max(
        length / len(reference)
        for length, reference in zip(in_common, references, strict=True)
        if length
    )
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_in_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest sequence of words that both hold in this order, gaps allowed."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
