"""The objective `words`: soft tokens become the words that describe their medium.

Not in the AnyMAL paper; a start for its stage `align`. No layer of the language model runs; only
its embedding table is read, so a step costs a fraction of one with the objective `answer`.

Shapes: B samples, M slots of one modality, N soft tokens in them, V vocabulary, D width.
"""

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.errors import DataError
from anymal.fusion import Slots, in_slots
from anymal.llm.cross_entropy import Loss, chunk_rows, cross_entropy
from anymal.model import AnyMAL

# Distances are in units of the mean squared length of an embedding; words that have nothing in
# common are 2 apart.
_SHARPNESS = 4.0
# Weight of the distance itself: the nearest word may still be far.
_PULL = 0.5


class WordLoss:
    """How far soft tokens are from the words of the answer, one by one.

    Soft token i is classified as the i-th token of the sample's answers, by its distance to all
    embeddings, and drawn to it. The remaining soft tokens become the token behind the medium,
    such as the line break of its `suffix`, so that the medium reads as its description would.

    Args:
        model: Its embeddings are copied once, as `[V, D]` float32; they must not train.
    """

    def __init__(self, model: AnyMAL) -> None:
        llm = model.llm
        with torch.no_grad():
            self._table = llm.embed(torch.arange(llm.vocab_size, device=model.device)).float()
            self._squares = self._table.square().sum(1)
            self._scale = self._squares.mean()
        self._stop_ids = torch.tensor(sorted(model.stop_ids), device=model.device)

    def __call__(self, model: AnyMAL, batch: Batch) -> Loss:
        """Sum over all soft tokens of a batch.

        Args:
            model: The same one.
            batch: On the model's device, with labels, padded and not packed; one medium per sample.

        Returns:
            The sum, and the number of soft tokens.

        Raises:
            DataError: A sample has no medium, or several.
        """
        assert not batch.is_packed, "the layout of this objective is padded"
        ends = {name: _ends(slots) for name, slots in batch.slots.items()}
        samples = {
            name: batch.slots[name].positions[own] // batch.ids.shape[1]
            for name, own in ends.items()
        }
        _check_alone(batch, samples)
        soft_tokens = model.align(model.encode(batch.media))
        per_sample = torch.zeros(len(batch.names), device=batch.ids.device)  # [B]
        for name, soft in soft_tokens.items():
            slots = batch.slots[name]
            words = self._words(batch, slots, ends[name], samples[name])
            each = self._distances(in_slots(name, soft, slots), words)
            sums = torch.stack([own.sum() for own in torch.split(each, list(slots.lengths))])
            per_sample = per_sample.index_add(0, samples[name], sums)
        return Loss(
            total=per_sample.sum(),
            count=sum(len(slots.positions) for slots in batch.slots.values()),
            per_sample=per_sample.detach(),
        )

    def _words(self, batch: Batch, slots: Slots, ends: Tensor, samples: Tensor) -> Tensor:
        """The words that the soft tokens of each slot should become, `[N]` int64."""
        lengths = torch.tensor(slots.lengths, device=ends.device)
        behind = batch.ids.flatten()[slots.positions[ends] + 1]
        words = behind.repeat_interleave(lengths, output_size=len(slots.positions))
        # Of each sample, the place of its slot among all, and the length; 0 without one.
        starts, room = torch.zeros(2, len(batch.names), dtype=torch.int64, device=ends.device)
        starts[samples], room[samples] = ends + 1 - lengths, lengths
        is_said = ~torch.isin(batch.target_ids, self._stop_ids)
        ids, owners = batch.target_ids[is_said], batch.target_samples[is_said]
        ranks = torch.arange(len(ids), device=ids.device) - torch.searchsorted(owners, owners)
        fits = ranks < room[owners]
        words[starts[owners[fits]] + ranks[fits]] = ids[fits]
        return words

    def _distances(self, found: Tensor, words: Tensor) -> Tensor:
        """The loss of each soft token `[N, D]` for its word `[N]`: `[N]`."""
        near = cross_entropy(found, words, head=self._nearness, rows=chunk_rows(len(self._table)))
        return near + _PULL * (found - self._table[words]).square().sum(1) / self._scale

    def _nearness(self, found: Tensor) -> Tensor:
        """Logits by squared distance: `[N, D]` to `[N, V]`."""
        squares = found.square().sum(1, keepdim=True) - 2 * found @ self._table.T + self._squares
        return -_SHARPNESS * squares / self._scale


def _ends(slots: Slots) -> Tensor:
    """The place of the last soft token of each slot among those of all, `[M]` int64."""
    return torch.tensor(slots.lengths, device=slots.positions.device).cumsum(0) - 1


def _check_alone(batch: Batch, samples: dict[str, Tensor]) -> None:
    """Raise if a sample has no medium, or several."""
    counts = torch.zeros(len(batch.names), dtype=torch.long)
    for own in samples.values():
        counts += own.cpu().bincount(minlength=len(counts))
    others = [name for name, count in zip(batch.names, counts.tolist(), strict=True) if count != 1]
    if others:
        raise DataError(
            f"{', '.join(others)}: objective words needs one medium in each sample; "
            "use objective: answer for such records"
        )
