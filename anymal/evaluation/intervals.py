"""Confidence intervals for shares of right answers, and for other figures.

Knows nothing of tasks or models: values of questions in, intervals out.
"""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from anymal.evaluation.metrics.base import Judged, Picks

Z_95 = 1.959963984540054
SEED = 0
_RESAMPLES = 2000
_MOST_DRAWN = 2**20  # indices in memory at once


class Share(BaseModel):
    """A share of right answers, or another figure, with its 95% interval.

    A share is between 0 and 1. A metric may go beyond, as CIDEr-D does, which goes up to 10.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    correct: int | float = Field(ge=0, description="Right answers; the sum of a metric's values.")
    n: int = Field(ge=0, description="Answers.")
    accuracy: float = Field(description="correct / n, or what the metric makes of all values.")
    low: float = Field(description="Lower end of the 95% interval.")
    high: float = Field(description="Upper end of the 95% interval.")


class Difference(BaseModel):
    """How much better one model is than another on the same questions, with a 95% interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float = Field(description="Share of right answers gained, between -1 and 1.")
    low: float = Field(description="Lower end of the 95% interval.")
    high: float = Field(description="Upper end of the 95% interval.")


def wilson(correct: int, n: int) -> Share:
    """The share of right answers and its Wilson score interval.

    Unlike the normal interval it stays inside 0..1 and has a width at 0 and at 1.

    Args:
        correct: Right answers.
        n: Answers; 0 gives the interval from 0 to 1.

    Returns:
        The share with its 95% interval.
    """
    assert 0 <= correct <= n, f"{correct} right of {n}"
    if n == 0:
        return Share(correct=0, n=0, accuracy=0.0, low=0.0, high=1.0)
    low, high = _wilson_ends(correct / n, n)
    return Share(correct=correct, n=n, accuracy=correct / n, low=low, high=high)


def share_of(verdicts: Sequence[bool]) -> Share:
    """The share of true verdicts."""
    return wilson(sum(verdicts), len(verdicts))


def figure_of(judged: Judged, media: Sequence[str], picks: Sequence[int] | None = None) -> Share:
    """The figure over some questions, and its interval.

    Wilson's where each question has a medium of its own and is right or wrong. Otherwise media are
    resampled, each with all of its questions: questions about one medium are right or wrong
    together, so that twice as many of them are not twice as much evidence (Miller, Adding Error
    Bars to Evals, arXiv 2411.00640, section 2.2). Where resampling shows no spread, because there
    is one medium or all are alike, Wilson's interval over the number of media is taken, on the
    scale of the metric.

    Args:
        judged: The values of all questions.
        media: What tells the medium of each question from the others.
        picks: The questions; None takes all.

    Returns:
        The figure with its 95% interval.
    """
    chosen = np.arange(len(media)) if picks is None else np.asarray(picks, dtype=np.intp)
    values = judged.values[chosen]
    groups = _groups([media[index] for index in chosen], chosen)
    kinds = set(values.tolist())
    if not kinds or (judged.total is None and judged.highest == 1 and kinds <= {0.0, 1.0}):
        share = wilson(round(float(values.sum())), len(values))
        if len(groups) == len(values):
            return share
    low, high = _quantiles(judged, groups)
    if _are_alike(low, high) and judged.total is None:
        ends = _wilson_ends(low / judged.highest, len(groups))
        low, high = (judged.highest * end for end in ends)
    return Share(
        correct=float(values.sum()),
        n=len(values),
        accuracy=judged.over(chosen),
        low=low,
        high=high,
    )


def difference_of(after: Judged, before: Judged, media: Sequence[str]) -> Difference:
    """How much better one set of answers is than another, question by question.

    Args:
        after: The values of one.
        before: Those of the other, on the same questions in the same order.
        media: What tells the medium of each question from the others.

    Returns:
        `after - before` with its 95% percentile interval; media are resampled. Where that shows no
        spread, as with a single question, it is Wilson's of a share stretched to the metric's scale
        in both directions, so that few questions prove nothing. Equal values throughout are no
        difference: 0 to 0.
    """
    assert len(after.values) == len(before.values) == len(media) > 0, "unpaired"
    assert after.highest == before.highest, "of different metrics"
    is_mean = after.total is None and before.total is None
    gains = Judged(
        values=after.values - before.values,
        total=None if is_mean else lambda picks: after.over(picks) - before.over(picks),
        highest=after.highest,
    )
    groups = _groups(media, np.arange(len(media)))
    low, high = _quantiles(gains, groups)
    if _are_alike(low, high) and gains.values.any() and is_mean:
        ends = _wilson_ends((1 + low / after.highest) / 2, len(groups))
        low, high = (after.highest * (2 * end - 1) for end in ends)
    return Difference(mean=gains.figure, low=low, high=high)


def paired_difference(after: Sequence[float], before: Sequence[float]) -> Difference:
    """Bootstrap the difference of two models over the same questions, each with its own medium.

    Args:
        after: Verdicts, or other figures, of the first model.
        before: Those of the second, on the same questions in the same order.

    Returns:
        The mean of `after - before` with its 95% percentile interval.
    """
    values = [Judged(values=np.asarray(each, dtype=np.float64)) for each in (after, before)]
    return difference_of(values[0], values[1], [str(index) for index in range(len(after))])


def _wilson_ends(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of `n`, which need not be a whole number of them."""
    spread = Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # The ends are exact where every answer is right or wrong; rounding must not move them.
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def _are_alike(low: float, high: float) -> bool:
    """Whether resamples differ by no more than sums of the same values in another order."""
    return math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-9)


def _groups(media: Sequence[str], indices: Picks) -> list[Picks]:
    """The indices of the questions about each medium."""
    groups: dict[str, list[int]] = {}
    for medium, index in zip(media, indices.tolist(), strict=True):
        groups.setdefault(medium, []).append(index)
    return [np.asarray(group, dtype=np.intp) for group in groups.values()]


def _quantiles(judged: Judged, groups: Sequence[Picks]) -> tuple[float, float]:
    """The middle 95% of a figure over resampled groups."""
    random = np.random.default_rng(SEED)
    at_once = max(1, _MOST_DRAWN // len(groups))
    draws = (
        random.integers(0, len(groups), size=(min(at_once, _RESAMPLES - first), len(groups)))
        for first in range(0, _RESAMPLES, at_once)
    )
    if judged.total is None:
        sums = np.array([judged.values[group].sum() for group in groups])
        sizes = np.array([len(group) for group in groups])
        figures = np.concatenate(
            [sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1) for drawn in draws]
        )
    else:
        figures = np.array(
            [
                judged.over(np.concatenate([groups[index] for index in row]))
                for drawn in draws
                for row in drawn
            ]
        )
    low, high = np.quantile(figures, [0.025, 0.975])
    return float(low), float(high)
