"""The objective `preference`: what a person chose becomes likelier than what they rejected.

One loss for the published methods that differ only in what they compare (DPO, arXiv 2305.18290;
mDPO, 2406.11839; STIC, 2405.19716; HSA-DPO, 2404.14233; POVID, 2402.11411; HALVA, 2405.18654).
Reads no records and stores no scores.

Shapes: P pairs of a batch, G samples of each, B = P * G samples, N target tokens, K phrases of the
pair that has most.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from anymal.collate import Batch
from anymal.llm.cross_entropy import Loss
from anymal.model import AnyMAL
from anymal.objectives.greedy import with_greedy_words
from anymal.objectives.kept import KEPT, Kept
from anymal.objectives.terms import Branch, Term

MARGINS, ACCURACIES, KL = "rewards/margins", "rewards/accuracies", "reference/kl"


def preference(
    delta: Mapping[str, Tensor],
    terms: Sequence[Term],
    *,
    beta: float,
    numbers: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Sum over terms of `weight * -log sigmoid(beta * sum of coefficient * delta - margin)`.

    Args:
        delta: By branch, `[P]`: by how much the model's score exceeds the reference's. Where
            phrases are compared, `[P, K]`.
        terms: What is compared.
        beta: How far the model may go from the reference; larger is less far.
        numbers: `[P]` (or `[P, 1]`) by name, which coefficients may name.

    Returns:
        `[P]` or `[P, K]`, in nats; differentiable.
    """
    losses, given = [], numbers or {}
    for term in terms:
        weighed = [
            each.times * (1.0 if each.number is None else given[each.number]) * delta[name]
            for name, each in term.coefficients.items()
        ]
        compared = torch.stack(weighed).sum(0)
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
    return _of_answers(model.target_losses(batch), batch)


Reference = Callable[[AnyMAL, Batch], Tensor]
"""Scores `[B]` of a batch whose samples all have their words, by the model of the reference."""


class Preference:
    """Compares the branches of each pair with each other, relative to a reference.

    Args:
        branches: The samples that each pair has in a batch, in order.
        terms: What is compared, of these branches.
        beta: See `preference`.
        sft: Weight of minus the score of the chosen answer by the model alone (STIC: 1/1024).
        by_phrase: Whether the scores compared are those of phrases. A pair's loss is then the mean
            over its phrases.
        reference: Of whole answers; None compares scores by themselves.
        kept: What the model keeps saying about other records, one after the branches of each pair.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        terms: Sequence[Term],
        *,
        beta: float,
        sft: float = 0.0,
        by_phrase: bool = False,
        reference: Reference | None = None,
        kept: Kept | None = None,
    ) -> None:
        assert reference is None or not by_phrase, "phrases are compared by themselves"
        self._branches = tuple(map(str, branches))
        self._group = (*self._branches, *([] if kept is None else [KEPT]))
        self._lazy = [number for number, branch in enumerate(branches) if branch.is_lazy]
        self._terms = tuple(terms)
        self._beta = beta
        self._sft = sft
        self._by_phrase = by_phrase
        self._reference = reference
        self._kept = kept

    def __call__(self, model: AnyMAL, batch: Batch) -> Loss:
        """The loss of the pairs of a batch.

        Args:
            model: The policy.
            batch: On the model's device; the samples of each pair, one pair after the other.

        Returns:
            The sum over pairs, and their number. Measures, where answers are compared:
            `rewards/margins`, `beta * (delta of chosen - delta of rejected)`, and
            `rewards/accuracies`, whether that is above 0; where records are kept, `reference/kl`.
        """
        found = tuple(part.branch for part in batch.parts)
        num_pairs = len(found) // len(self._group)
        assert found == self._group * num_pairs, (found, self._group)
        hidden = model.read(batch)
        if self._lazy:
            batch = with_greedy_words(
                model,
                batch,
                hidden,
                lazy=self._lazy,
                chosen=self._group.index("chosen"),
                of_a_pair=len(self._group),
            )
        losses = model.losses_of(hidden, batch)  # [N]
        each, measures = self._compared(losses, batch, model)
        if self._kept is not None:
            kept = self._kept(model, batch, hidden)  # [P]
            each = each + self._kept.weight * kept
            measures[KL] = kept.detach().sum()
        return Loss(
            total=each.sum(),
            count=num_pairs,
            per_sample=each.detach().repeat_interleave(len(self._group)),
            measures=measures,
        )

    def _compared(
        self, losses: Tensor, batch: Batch, model: AnyMAL
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the terms and `sft` make of each pair, `[P]`, and sums of measures over pairs."""
        answers = _of_answers(losses, batch)  # [B]
        own = _of_phrases(losses, batch) if self._by_phrase else answers
        if self._reference is not None:
            own = own - self._reference(model, batch).to(own)
        delta = self._by_branch(own)
        firsts = batch.parts[:: len(self._group)]
        numbers = {
            name: own.new_tensor([part.numbers[name] for part in firsts])
            for name in firsts[0].numbers
        }
        if self._by_phrase:
            numbers = {name: values[:, None] for name, values in numbers.items()}
        each = preference(delta, self._terms, beta=self._beta, numbers=numbers)
        is_pair = {"chosen", "rejected"} <= set(delta)
        margins = self._beta * (delta["chosen"] - delta["rejected"]).detach() if is_pair else None
        if self._by_phrase:
            each = _mean(each, batch, step=len(self._group))
            margins = None if margins is None else _mean(margins, batch, step=len(self._group))
        if self._sft:
            each = each - self._sft * self._by_branch(answers)["chosen"]
        if margins is None:
            return each, {}
        return each, {MARGINS: margins.sum(), ACCURACIES: (margins > 0).sum()}

    def _by_branch(self, values: Tensor) -> dict[str, Tensor]:
        """Values `[B, ...]` of samples as `[P, ...]` by branch."""
        columns = values.view(-1, len(self._group), *values.shape[1:]).unbind(1)
        return dict(zip(self._branches, columns[: len(self._branches)], strict=True))


def _of_answers(losses: Tensor, batch: Batch) -> Tensor:
    """Scores of whole answers, `[B]`, by the cross-entropies `[N]` of their tokens."""
    if any(part.weights is not None for part in batch.parts):
        weights = _of_targets(batch, [part.weights for part in batch.parts], others=1.0)
        losses = losses * losses.new_tensor(weights)
    return -losses.new_zeros(len(batch.names)).index_add(0, batch.target_samples, losses)


def _of_phrases(losses: Tensor, batch: Batch) -> Tensor:
    """Scores of phrases, `[B, K]`; where a pair has fewer than K, the others are 0."""
    numbers = _of_targets(batch, [part.phrases for part in batch.parts], others=0)
    phrases = torch.tensor(numbers, device=losses.device)  # [N], 0 outside phrases
    most = int(phrases.max())
    found = losses.new_zeros(len(batch.names), most + 1)
    found = found.index_put((batch.target_samples, phrases), losses, accumulate=True)
    return -found[:, 1:]


def _of_targets(
    batch: Batch, given: Sequence[Sequence[float] | None], *, others: float
) -> list[float]:
    """What samples say of each of their targets, `[N]`; of samples that say nothing, `others`."""
    # Targets come sample after sample, and of each sample in order.
    counts = torch.bincount(batch.target_samples, minlength=len(given)).tolist()
    each = zip(given, counts, strict=True)
    return [value for own, count in each for value in ([others] * count if own is None else own)]


def _mean(values: Tensor, batch: Batch, *, step: int) -> Tensor:
    """The mean of `[P, K]` over the phrases that each pair has, `[P]`."""
    counts = values.new_tensor([max(part.phrases or ()) for part in batch.parts[::step]])
    there = torch.arange(values.shape[1], device=values.device) < counts[:, None]
    # Not the mean over K, as released: there, each missing phrase counts log 2.
    return torch.where(there, values, 0).sum(1) / counts
