"""Which of several answers to a question make a pair, each rule as published.

Works on scores, ratings and lengths; reads no records and judges nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean

from anymal.data.compared import Completion

Pair = tuple[int, int]
"""The numbers of a chosen and a rejected answer."""
Rule = Callable[[Sequence[Completion]], list[Pair]]

_RATIOS = tuple(number / 50 for number in range(50))  # 0 to 0.98


def unequal(scores: Sequence[float | None]) -> list[Pair]:
    """All pairs of unequal scores (BPO, arXiv 2403.08730, released code).

    Args:
        scores: One for each answer; an answer without a score makes no pair.

    Returns:
        Pairs in the order of the answers, the better one of each first.
    """
    return [
        (first, second) if one > other else (second, first)
        for (first, one), (second, other) in combinations(enumerate(scores), 2)
        if one is not None and other is not None and one != other
    ]


def unequal_means(ratings: Sequence[Mapping[str, float | None]]) -> list[Pair]:
    """All pairs of unequal mean ratings (Silkie, arXiv 2312.10665, released code).

    Args:
        ratings: Of each answer by aspect. An answer without ratings, or with an aspect that has no
            number, makes no pair: its mean would be one of other aspects.

    Returns:
        See `unequal`.
    """
    return unequal([_mean(of_one) for of_one in ratings])


def threshold(scores: Sequence[float | None], least: float = 3.0) -> list[Pair]:
    """All pairs with `score(chosen) >= least > score(rejected)` (LLaVA-Hound, arXiv 2404.01258).

    Args:
        scores: One for each answer; an answer without a score makes no pair.
        least: Score of an answer that is good enough.

    Returns:
        Pairs, by chosen answer.
    """
    known = [(number, score) for number, score in enumerate(scores) if score is not None]
    good = [number for number, score in known if score >= least]
    bad = [number for number, score in known if score < least]
    return list(product(good, bad))


def best_worst(scores: Sequence[float | None]) -> list[Pair]:
    """The best answer against the worst; of equal ones, the first.

    Args:
        scores: One for each answer; an answer without a score makes no pair.

    Returns:
        One pair; none where all scores are equal.
    """
    known = [(score, number) for number, score in enumerate(scores) if score is not None]
    if not known:
        return []
    best = max(known, key=lambda one: one[0])
    worst = min(known, key=lambda one: one[0])
    return [] if best[0] == worst[0] else [(best[1], worst[1])]


def rejected_statements(labels: Sequence[Sequence[bool]]) -> list[Pair]:
    """All pairs with unequal numbers of rejected statements (RLAIF-V, arXiv 2405.17220, 3.2).

    Args:
        labels: For each statement of each answer, whether it was accepted.

    Returns:
        See `unequal`; an answer with fewer rejected statements is better.
    """
    return unequal([-sum(not accepted for accepted in of_one) for of_one in labels])


def least_ratio(lengths: Sequence[tuple[int, int]]) -> float:
    """How short a chosen answer may be, so that both kinds are equally long (RLAIF-V, code).

    Args:
        lengths: Of the chosen and the rejected answer of all pairs, in any unit.

    Returns:
        The ratio of 0, 0.02 to 0.98 for which the pairs that `keeps_length` keeps have the smallest
        gap between their mean lengths; the smallest such ratio, which keeps the most.

    Raises:
        ValueError: There are no pairs.
    """
    if not lengths:
        raise ValueError("no pairs, whose lengths could be compared")

    def gap(ratio: float) -> float:
        kept = [one - other for one, other in lengths if keeps_length(one, other, ratio)]
        return abs(fmean(kept)) if kept else float("inf")

    return min(_RATIOS, key=gap)


def keeps_length(chosen: int, rejected: int, ratio: float) -> bool:
    """Whether a chosen answer has at least a share of the rejected one's length."""
    return chosen >= ratio * rejected


def _scores(completions: Sequence[Completion]) -> list[float | None]:
    return [one.score for one in completions]


def _labels(completions: Sequence[Completion]) -> list[list[bool]]:
    return [[bool(value) for value in one.ratings.values()] for one in completions]


def _mean(ratings: Mapping[str, float | None]) -> float | None:
    numbers = [value for value in ratings.values() if value is not None]
    return fmean(numbers) if numbers and len(numbers) == len(ratings) else None


RULES: dict[str, Rule] = {
    "unequal": lambda given: unequal(_scores(given)),
    "unequal_means": lambda given: unequal_means([one.ratings for one in given]),
    "threshold": lambda given: threshold(_scores(given)),
    "best_worst": lambda given: best_worst(_scores(given)),
    "rejected_statements": lambda given: rejected_statements(_labels(given)),
}
"""The rules by name. `rejected_statements` takes the ratings as statements, 0 being rejected."""
