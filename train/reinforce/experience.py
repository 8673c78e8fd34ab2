"""From graded answers to what is learnt from them: penalties, values and advantages, by token.

Does not generate or grade answers and takes no step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.model import AnyMAL
from anymal.objectives.policy_gradient import (
    Shape,
    clamped_kl,
    generalised_advantages,
    leave_one_out,
    whitened,
    with_penalty,
)
from anymal.objectives.readouts import VALUE
from anymal.objectives.reinforce import Experience
from anymal.recipe.reinforce import ReinforceRecipe
from train.data.layout import MicroBatch
from train.loop import precision_of
from train.passes import Passes
from train.reinforce.answers import Answered
from train.start_weights import AtStart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What models say of the tokens of one answer, on the CPU.

    Attributes:
        policy: `[T]`, log-probabilities by the policy.
        reference: `[T]`, by the model at the start of the stage.
        values: `[T]`, where values are learnt.
    """

    policy: Tensor
    reference: Tensor
    values: Tensor | None


def measured(
    model: AnyMAL, answers: Sequence[Answered], passes: Passes, at_start: AtStart
) -> list[Measured]:
    """Read answers by the policy and by the model at the start, without dropout.

    Args:
        model: The policy.
        answers: Of a rollout.
        passes: How samples go through the model.
        at_start: Gives it the weights of the start.
    """
    has_values = VALUE in model.readouts

    @torch.no_grad()
    def read(batch: Batch) -> list[Measured]:
        batch = batch.to(model.device)
        with precision_of(model):
            hidden = model.read(batch)
            policy = -model.losses_of(hidden, batch)
            values = model.readouts[VALUE](hidden[batch.target_rows]) if has_values else None
            with at_start(model):
                reference = -model.target_losses(batch)
        sizes = batch.target_samples.bincount(minlength=len(batch.names)).tolist()
        parts = [torch.split(each.cpu(), sizes) for each in (policy, reference)]
        own = [None] * len(sizes) if values is None else torch.split(values.cpu(), sizes)
        return [
            Measured(policy=p, reference=r, values=v) for p, r, v in zip(*parts, own, strict=True)
        ]

    was_training = model.training
    model.eval()
    samples = [answer.sample for answer in answers]
    cuts = (samples[n : n + passes.size] for n in range(0, len(samples), passes.size))
    micro_batches = (MicroBatch.of(cut, passes.layout) for cut in cuts)
    found = [each for part in passes.halving.map(read, micro_batches) for each in part]
    model.train(was_training)
    return found


def experiences(
    recipe: ReinforceRecipe,
    answers: Sequence[Answered],
    scores: Sequence[float],
    read: Sequence[Measured],
) -> dict[str, Experience]:
    """What is learnt from each answer, by the name of its sample.

    Args:
        recipe: Of the stage.
        answers: Of a rollout; the answers to one prompt after each other.
        scores: What is said of each.
        read: See `measured`.
    """
    shape = Shape(
        scale=recipe.scale,
        no_end=recipe.no_end,
        long=recipe.long,
        most=recipe.max_new_tokens,
    )
    rewards = [
        with_penalty(
            clamped_kl(own.policy, own.reference),
            shape(score, length=len(answer.said.ids), has_ended=answer.said.has_ended),
            beta=recipe.beta,
        )
        for answer, score, own in zip(answers, scores, read, strict=True)
    ]
    names = [answer.sample.name for answer in answers]
    if recipe.value is None:
        totals = torch.stack([each.sum() for each in rewards]).view(-1, recipe.samples)
        each = leave_one_out(totals).flatten()
        return {
            name: Experience(logprobs=own.policy, advantages=advantage.expand_as(own.policy))
            for name, own, advantage in zip(names, read, each, strict=True)
        }
    gamma, lam = recipe.value.gamma, recipe.value.lam
    values = [own.values for own in read if own.values is not None]
    pairs = [
        generalised_advantages(own, told, gamma=gamma, lam=lam)
        for own, told in zip(rewards, values, strict=True)
    ]
    lengths = [len(own) for own in rewards]
    white = torch.split(whitened(torch.cat([own for own, _ in pairs])), lengths)
    return {
        name: Experience(logprobs=own.policy, advantages=best, values=told, returns=returns)
        for name, own, best, told, (_, returns) in zip(
            names, read, white, values, pairs, strict=True
        )
    }


def facts_about(
    answers: Sequence[Answered], scores: Sequence[float], read: Sequence[Measured]
) -> dict[str, float]:
    """What is reported of a rollout, means over its answers.

    `rewards/mean` is what is said of an answer, before penalties; `rewards/kl` the sum over its
    tokens of `log p - log p_ref`, in nats; `rewards/ended` whether it was not cut; `rewards/tokens`
    its length.
    """
    number = len(answers)
    apart = [float((own.policy - own.reference).sum()) for own in read]
    return {
        "rewards/mean": sum(scores) / number,
        "rewards/kl": sum(apart) / number,
        "rewards/ended": sum(answer.said.has_ended for answer in answers) / number,
        "rewards/tokens": sum(len(answer.said.ids) for answer in answers) / number,
    }
