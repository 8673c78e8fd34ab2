"""The arithmetic of rewards, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from anymal.objectives.policy_gradient import (
    Shape,
    clamped_kl,
    clipped_policy_loss,
    clipped_value_loss,
    generalised_advantages,
    leave_one_out,
    whitened,
    with_penalty,
)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_published_ratio_is_clipped() -> None:
    """LLaVA-RLHF: a ratio of e^0.3 with an advantage of 1 costs -1.2."""
    found = clipped_policy_loss(numbers(-0.2), numbers(-0.5), numbers(1.0), clip=0.2)
    assert float(found) == pytest.approx(-1.2, abs=1e-6)


@pytest.mark.parametrize(
    ("apart", "advantage", "expected"),
    [
        (0.1, 1.0, -math.exp(0.1)),  # within
        (0.3, -1.0, math.exp(0.3)),  # likelier though it was worse: not clipped
        (-0.3, 1.0, -math.exp(-0.3)),
        (-0.3, -1.0, 0.8),  # already unlikelier
    ],
)
def test_only_what_goes_further_is_clipped(apart: float, advantage: float, expected: float) -> None:
    now = numbers(apart).requires_grad_()
    loss = clipped_policy_loss(now, numbers(0.0), numbers(advantage), clip=0.2)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
    assert now.grad is not None
    assert (float(now.grad) == 0) == (abs(expected) == 0.8)


def test_the_penalty_is_of_what_became_likelier() -> None:
    kl = clamped_kl(numbers(-1.0, -1.0, -0.5), numbers(-1.5, -0.4, -0.5))
    assert kl.tolist() == pytest.approx([0.5, 0.0, 0.0])
    assert with_penalty(kl, 2.0, beta=0.1).tolist() == pytest.approx([-0.05, 0.0, 2.0])


def test_the_published_shape() -> None:
    """Scores times 10, 8 off what is cut, and 10 off the longest answer of 896 tokens."""
    shape = Shape(scale=10.0, no_end=8.0, long=10.0, most=896)
    assert shape(0.5, length=448, has_ended=True) == pytest.approx(5 - 5)
    assert shape(0.5, length=896, has_ended=False) == pytest.approx(5 - 8 - 10)
    assert Shape()(0.5, length=3, has_ended=False) == 0.5


def test_advantages_to_the_end() -> None:
    """With gamma and lambda of 1, the rewards that follow less the value."""
    rewards, values = numbers(-0.05, 0.0, 2.0), numbers(0.5, 1.0, 1.5)
    advantages, returns = generalised_advantages(rewards, values, gamma=1.0, lam=1.0)
    assert returns.tolist() == pytest.approx([1.95, 2.0, 2.0])
    assert advantages.tolist() == pytest.approx([1.45, 1.0, 0.5])


def test_advantages_one_step_ahead_and_between() -> None:
    rewards, values = numbers(1.0, 0.0, 2.0), numbers(0.5, 1.0, 1.5)
    surprises = [1 + 0.9 * 1.0 - 0.5, 0.9 * 1.5 - 1.0, 2 - 1.5]
    ahead, _ = generalised_advantages(rewards, values, gamma=0.9, lam=0.0)
    assert ahead.tolist() == pytest.approx(surprises)
    both, returns = generalised_advantages(rewards, values, gamma=0.9, lam=0.8)
    second = surprises[1] + 0.72 * surprises[2]
    expected = [surprises[0] + 0.72 * second, second, surprises[2]]
    assert both.tolist() == pytest.approx(expected)
    assert returns.tolist() == pytest.approx([expected[0] + 0.5, expected[1] + 1, 0.5 + 1.5])


def test_whitening() -> None:
    found = whitened(numbers(1.0, 2.0, 3.0, 6.0))
    assert found.tolist() == pytest.approx([-2 / 3.5**0.5, -1 / 3.5**0.5, 0, 3 / 3.5**0.5])
    assert whitened(numbers(2.0, 2.0)).tolist() == [0.0, 0.0]


def test_each_answer_against_the_others() -> None:
    found = leave_one_out(torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]]))
    assert found.tolist() == [[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0.1, 0.5 * 0.9**2), (0.5, 0.5 * 0.8**2), (-0.5, 0.5 * 1.5**2), (1.5, 0.5 * 0.8**2)],
)
def test_values_go_no_further_than_the_clip(now: float, expected: float) -> None:
    """Of a value that was 0, and should be 1."""
    found = clipped_value_loss(numbers(now), numbers(0.0), numbers(1.0), clip=0.2)
    assert float(found) == pytest.approx(expected)
