"""The objective `preference`: what a person chose becomes likelier than what they rejected.

One loss for the published methods that differ only in what they compare (DPO, arXiv 2305.18290;
mDPO, 2406.11839; STIC, 2405.19716; HSA-DPO, 2404.14233). Reads no records and stores no scores.

Shapes: P pairs of a batch, K branches of each, B = P * K samples, N target tokens.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from anymal.collate import Batch
from anymal.llm.cross_entropy import Loss
from anymal.model import AnyMAL
from anymal.objectives.terms import Branch, Term

MARGINS, ACCURACIES = "rewards/margins", "rewards/accuracies"


def preference(
    delta: Mapping[str, Tensor],
    terms: Sequence[Term],
    *,
    beta: float,
    numbers: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Sum over terms of `weight * -log sigmoid(beta * sum of coefficient * delta - margin)`.

    Args:
        delta: By branch, `[P]`: by how much the model's score exceeds the reference's.
        terms: What is compared.
        beta: How far the model may go from the reference; larger is less far.
        numbers: `[P]` by name, which coefficients may name.

    Returns:
        `[P]`, in nats; differentiable.
    """
    losses, given = [], numbers or {}
    for term in terms:
        weighed = [
            each.times * (1.0 if each.number is None else given[each.number]) * delta[name]
            for name, each in term.coefficients.items()
        ]
        compared = torch.stack(weighed).sum(0)  # [P]
        losses.append(-term.weight * F.logsigmoid(beta * compared - term.margin))
    return torch.stack(losses).sum(0)


def scores(model: AnyMAL, batch: Batch) -> Tensor:
    """The log-probability of each sample's targets, the same way for policy and reference.

    Where a part of a pair has weights, each target's log-probability counts as much as they say.

    Args:
        model: Runs as it is set: training or not, with or without a graph.
        batch: On the model's device.

    Returns:
        `[B]` float32, in nats.
    """
    each = model.target_losses(batch)  # [N]
    if any(part.weights is not None for part in batch.parts):
        # Targets come sample after sample, and of each sample in order.
        weights = [weight for part in batch.parts for weight in part.weights or ()]
        each = each * each.new_tensor(weights)
    return -each.new_zeros(len(batch.names)).index_add(0, batch.target_samples, each)


class Preference:
    """Compares the branches of each pair with each other, relative to a reference.

    Args:
        branches: The samples that each pair has in a batch, in order.
        terms: What is compared, of these branches.
        beta: See `preference`.
        sft: Weight of minus the score of the chosen answer by the model alone (STIC: 1/1024).
        reference: The scores `[B]` of a batch by the reference; None compares scores by
            themselves.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        terms: Sequence[Term],
        *,
        beta: float,
        sft: float = 0.0,
        reference: Callable[[Batch], Tensor] | None = None,
    ) -> None:
        self._branches = tuple(str(branch) for branch in branches)
        self._terms = tuple(terms)
        self._beta = beta
        self._sft = sft
        self._reference = reference

    def __call__(self, model: AnyMAL, batch: Batch) -> Loss:
        """The loss of the pairs of a batch.

        Args:
            model: The policy.
            batch: On the model's device; the branches of each pair, one pair after the other.

        Returns:
            The sum over pairs, and their number. Measures, where answers are compared:
            `rewards/margins`, `beta * (delta of chosen - delta of rejected)`, and
            `rewards/accuracies`, whether that is above 0.
        """
        found = tuple(part.branch for part in batch.parts)
        num_pairs = len(found) // len(self._branches)
        assert found == self._branches * num_pairs, (found, self._branches)
        own = scores(model, batch)  # [B]
        others = torch.zeros_like(own) if self._reference is None else self._reference(batch)
        delta = self._by_branch(own - others.to(own))
        firsts = batch.parts[:: len(self._branches)]
        numbers = {
            name: own.new_tensor([part.numbers[name] for part in firsts])
            for name in firsts[0].numbers
        }
        each = preference(delta, self._terms, beta=self._beta, numbers=numbers)  # [P]
        if self._sft:
            each = each - self._sft * self._by_branch(own)["chosen"]
        return Loss(
            total=each.sum(),
            count=num_pairs,
            per_sample=each.detach().repeat_interleave(len(self._branches)),
            measures=self._measures(delta),
        )

    def _by_branch(self, values: Tensor) -> dict[str, Tensor]:
        """Values `[B]` of samples as `[P]` by branch."""
        columns = values.view(-1, len(self._branches)).unbind(1)
        return dict(zip(self._branches, columns, strict=True))

    def _measures(self, delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums over pairs."""
        if not {"chosen", "rejected"} <= set(delta):
            return {}
        margins = self._beta * (delta["chosen"] - delta["rejected"]).detach()
        return {MARGINS: margins.sum(), ACCURACIES: (margins > 0).sum()}
