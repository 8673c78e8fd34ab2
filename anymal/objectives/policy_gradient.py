"""The arithmetic of learning from rewards: penalties, advantages and clipped losses.

As LLaVA-RLHF computes them (arXiv 2309.14525, and its released code): PPO (1707.06347) with
generalised advantages (1506.02438); and RLOO (2402.14740), which needs no values. Runs no model.

Shapes: T tokens of one answer, N tokens of some answers, G prompts, K answers to each.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a reward is made of what a reward model or a function says of an answer.

    Attributes:
        scale: Times the score.
        no_end: Taken off an answer that was cut because it is too long.
        long: Taken off an answer of `most` tokens, and of a shorter one in proportion.
        most: Most tokens of an answer.
    """

    scale: float = 1.0
    no_end: float = 0.0
    long: float = 0.0
    most: int = 1

    def __call__(self, score: float, *, length: int, has_ended: bool) -> float:
        """The reward of a whole answer.

        Args:
            score: What is said of it.
            length: Its tokens.
            has_ended: Whether it was not cut.
        """
        cut = 0.0 if has_ended else self.no_end
        return self.scale * score - cut - self.long * length / self.most


def clamped_kl(policy: Tensor, reference: Tensor) -> Tensor:
    """`max(log p - log p_ref, 0)` of each token: how much likelier the policy made it.

    Args:
        policy: Log-probabilities, of any shape.
        reference: The same, by the model at the start.
    """
    return (policy - reference).clamp(min=0)


def with_penalty(kl: Tensor, reward: float, *, beta: float) -> Tensor:
    """The reward of each token `[T]`: a penalty each, and at the last one what the answer gets."""
    rewards = -beta * kl
    rewards[-1] += reward
    return rewards


def generalised_advantages(
    rewards: Tensor, values: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages of the tokens of one answer, and the returns that values should have told.

    Args:
        rewards: `[T]`.
        values: `[T]`, read before each token.
        gamma: How much the next token's reward counts.
        lam: How far advantages look ahead; 1 to the end.

    Returns:
        Advantages `[T]`, and returns `[T]`, which are advantages plus values.
    """
    after = torch.cat([values[1:], values.new_zeros(1)])
    surprises = rewards + gamma * after - values
    advantages, following = torch.empty_like(values), values.new_zeros(())
    for place in reversed(range(len(values))):
        following = surprises[place] + gamma * lam * following
        advantages[place] = following
    return advantages, advantages + values


def whitened(values: Tensor) -> Tensor:
    """Values with mean 0 and variance 1, `[N]`; all 0 where all are equal."""
    return (values - values.mean()) * (values.var(correction=0) + 1e-8).rsqrt()


def leave_one_out(rewards: Tensor) -> Tensor:
    """By how much each answer's reward exceeds the mean of the others to the same prompt.

    Args:
        rewards: `[G, K]`, K of 2 or more.

    Returns:
        `[G, K]`.
    """
    others = rewards.shape[1] - 1
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / others


def clipped_policy_loss(now: Tensor, before: Tensor, advantages: Tensor, *, clip: float) -> Tensor:
    """`-min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A)` of each token.

    Args:
        now: `[N]`, log-probabilities by the policy; differentiable.
        before: `[N]`, those by the policy that said the tokens.
        advantages: `[N]`.
        clip: How far a ratio may go from 1.

    Returns:
        `[N]`.
    """
    ratio = (now - before).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped_value_loss(now: Tensor, before: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """`1/2 max((V - R)^2, (clip(V, V_before - clip, V_before + clip) - R)^2)` of each token.

    Args:
        now: `[N]`, values; differentiable.
        before: `[N]`, values when the answer was said.
        returns: `[N]`.
        clip: How far a value may go.

    Returns:
        `[N]`.
    """
    near = torch.clamp(now, before - clip, before + clip)
    return 0.5 * torch.maximum((now - returns) ** 2, (near - returns) ** 2)
