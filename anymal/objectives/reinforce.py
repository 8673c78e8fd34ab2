"""The objectives `rloo` and `ppo`: tokens that led to more reward than expected become likelier.

Does not generate or grade answers (see `train.reinforce`).

Shapes: T tokens of one answer, N tokens of a batch, B samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.llm.cross_entropy import Loss
from anymal.model import AnyMAL
from anymal.objectives.policy_gradient import clipped_policy_loss, clipped_value_loss
from anymal.objectives.readouts import VALUE

CLIPPED, KL_NOW, VALUE_LOSS = "policy/clipped", "policy/kl", "value/loss"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """What is known of one answer of a rollout, token by token, on the CPU.

    Attributes:
        logprobs: `[T]`, by the policy that said it.
        advantages: `[T]`.
        values: `[T]`, and
        returns: `[T]`, where values are learnt.
    """

    logprobs: Tensor
    advantages: Tensor
    values: Tensor | None = None
    returns: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """How values are learnt.

    Attributes:
        clip: How far a value may go in the updates of one rollout.
        weight: Of their loss beside that of the policy.
    """

    clip: float
    weight: float


class Reinforce:
    """Learns from answers whose experience is known by the names of their samples.

    Args:
        clip: How far the ratio of probabilities may go from 1.
        values: How values are learnt, which the read-out `value` tells; None learns none.

    Attributes:
        known: The experience of the rollout that is learnt from.
    """

    def __init__(self, *, clip: float, values: Values | None = None) -> None:
        self._clip = clip
        self._values = values
        self.known: Mapping[str, Experience] = {}

    def __call__(self, model: AnyMAL, batch: Batch) -> Loss:
        """The loss of the tokens of a batch of answers.

        Args:
            model: The policy.
            batch: On the model's device; what is learnt of each sample is its answer.

        Returns:
            The sum over tokens, and their number. Measures: `policy/clipped`, whether a token's
            ratio is beyond `clip`; `policy/kl`, how far the policy is from that of the rollout;
            and `value/loss`.
        """
        past = [self.known[name] for name in batch.names]
        hidden = model.read(batch)
        now = -model.losses_of(hidden, batch)  # [N]
        before = _joined([each.logprobs for each in past], now)
        advantages = _joined([each.advantages for each in past], now)
        each = clipped_policy_loss(now, before, advantages, clip=self._clip)
        apart = (now - before).detach()
        measures = {
            CLIPPED: ((apart.exp() - 1).abs() > self._clip).sum(),
            KL_NOW: (apart.exp() - 1 - apart).sum(),
        }
        if self._values is not None:
            told = model.readouts[VALUE](hidden[batch.target_rows])  # [N]
            lost = clipped_value_loss(
                told,
                _joined([own.values for own in past], now),
                _joined([own.returns for own in past], now),
                clip=self._values.clip,
            )
            each = each + self._values.weight * lost
            measures[VALUE_LOSS] = lost.detach().sum()
        per_sample = each.new_zeros(len(batch.names))
        per_sample.index_add_(0, batch.target_samples, each.detach())
        return Loss(
            total=each.sum(), count=len(batch.target_ids), per_sample=per_sample, measures=measures
        )


def _joined(parts: list[Tensor | None] | list[Tensor], like: Tensor) -> Tensor:
    """What is known of the tokens of all samples, `[N]`, in the order of a batch's targets."""
    found = [part for part in parts if part is not None]
    assert len(found) == len(parts), "what is learnt is known of every answer"
    joined = torch.cat(found).to(like)
    assert joined.shape == like.shape, (joined.shape, like.shape)
    return joined
