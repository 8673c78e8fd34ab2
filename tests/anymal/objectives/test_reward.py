"""The loss of a reward model, worked out by hand, and through a model."""

import math

import pytest
import torch
from torch import Tensor

from anymal.objectives.reward import reward_loss


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_published_example() -> None:
    """LLaVA-RLHF: 0.474077 for the pair, and a thousandth of the sum of 1.5."""
    assert float(reward_loss(numbers(1.0), numbers(0.5), centre=0.0)) == pytest.approx(
        0.474077, abs=1e-6
    )
    assert float(reward_loss(numbers(1.0), numbers(0.5))) == pytest.approx(0.475577, abs=1e-6)


def test_equal_rewards_cost_log_2_and_what_centres_them() -> None:
    found = reward_loss(numbers(0.0, 2.0), numbers(0.0, 2.0))
    assert found.tolist() == pytest.approx([math.log(2), math.log(2) + 0.004], abs=1e-9)


def test_each_pair_is_by_itself() -> None:
    chosen, rejected = numbers(1.0, -3.0, 0.2), numbers(0.5, 2.0, 0.1)
    whole = reward_loss(chosen, rejected)
    alone = [float(reward_loss(a[None], b[None])) for a, b in zip(chosen, rejected, strict=True)]
    assert whole.tolist() == alone


def test_the_gradient_raises_the_chosen_and_pulls_both_to_0() -> None:
    chosen, rejected = (numbers(value).requires_grad_() for value in (3.0, 1.0))
    reward_loss(chosen, rejected).sum().backward()
    share = 1 / (1 + math.exp(2))  # of sigmoid(-(3 - 1))
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert float(chosen.grad) == pytest.approx(-share + 1e-3)
    assert float(rejected.grad) == pytest.approx(share + 1e-3)
