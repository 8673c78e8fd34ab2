"""What can be reached without the medium: by chance, and from the question alone.

Does not ask anybody; both follow from what was expected.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from anymal.evaluation.scoring import Expected


def chance_of(expected: Sequence[Expected]) -> float:
    """What blind guessing among the choices reaches; an open question is never guessed."""
    if not any(want.choices for want in expected):
        return max(Counter(want.answer for want in expected).values()) / len(expected)
    return fmean(
        len(want.choices) ** -max(1, len(want.all_of)) if want.choices else 0.0 for want in expected
    )


def prior_of(expected: Sequence[Expected]) -> float:
    """What the most frequent answer to such questions reaches, each record left out in turn."""
    answers: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for want in expected:
        answers[want.task, want.choices][want.answer] += 1
    hits = 0
    for want in expected:
        # Without leaving the record out, a question that is asked once would always be "guessed".
        others = answers[want.task, want.choices] - Counter([want.answer])
        hits += bool(others) and max(sorted(others), key=others.__getitem__) == want.answer
    return hits / len(expected)
