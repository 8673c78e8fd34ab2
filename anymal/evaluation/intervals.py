"""Confidence intervals for shares of right answers.

Knows nothing of tasks or models: counts in, intervals out.
"""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Z_95 = 1.959963984540054


class Share(BaseModel):
    """A share of right answers with its Wilson 95% interval; all shares are between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    correct: int = Field(ge=0, description="Right answers.")
    n: int = Field(ge=0, description="Answers.")
    accuracy: float = Field(description="correct / n.")
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
    share = correct / n
    spread = Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # The ends are exact where every answer is right or wrong; rounding must not move them.
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == n else centre + half
    return Share(correct=correct, n=n, accuracy=share, low=low, high=high)


def share_of(verdicts: Sequence[bool]) -> Share:
    """The share of true verdicts."""
    return wilson(sum(verdicts), len(verdicts))


def paired_difference(
    after: Sequence[float], before: Sequence[float], *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Bootstrap the difference of two models over the same questions.

    Args:
        after: Verdicts, or other figures, of the first model.
        before: Those of the second, on the same questions in the same order.
        resamples: Bootstrap resamples of the questions.
        seed: Seed of the resampling.

    Returns:
        The mean of `after - before` with its 95% percentile interval.
    """
    assert len(after) == len(before) > 0, f"{len(after)} and {len(before)} figures"
    gains = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(gains), size=(resamples, len(gains)))
    low, high = np.quantile(gains[picks].mean(axis=1), [0.025, 0.975])
    return Difference(mean=float(gains.mean()), low=float(low), high=float(high))
