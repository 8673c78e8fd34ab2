"""The objective `words`: soft tokens become the words that describe their medium.

Not in the AnyMAL paper; a start for its stage `align`. No layer of the language model runs; only
its embedding table is read, so a step costs a fraction of one with the objective `answer`.

Shapes: B samples, M media items of one modality, Q soft tokens per item, V vocabulary, D width.
"""

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.errors import DataError
from anymal.llm.cross_entropy import chunk_rows, cross_entropy
from anymal.model import AnyMAL, Loss

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
        samples = {name: slots[:, 0] // batch.ids.shape[1] for name, slots in batch.slots.items()}
        _check_alone(batch, samples)
        soft_tokens = model.align(model.encode(batch.media))
        per_sample = torch.zeros(len(batch.names), device=batch.ids.device)  # [B]
        for name, soft in soft_tokens.items():
            words = self._words(batch, batch.slots[name], samples[name])  # [M, Q]
            each = self._distances(soft.flatten(0, 1), words.flatten())
            per_sample = per_sample.index_add(0, samples[name], each.view(words.shape).sum(1))
        return Loss(
            total=per_sample.sum(),
            num_tokens=sum(slots.numel() for slots in batch.slots.values()),
            per_sample=per_sample.detach(),
        )

    def _words(self, batch: Batch, slots: Tensor, samples: Tensor) -> Tensor:
        """The words that the soft tokens of each medium should become, `[M, Q]` int64."""
        words = batch.ids.flatten()[slots[:, -1:] + 1].repeat(1, slots.shape[1])
        medium = torch.full((len(batch.names),), -1, device=words.device)  # of each sample
        medium[samples] = torch.arange(len(samples), device=words.device)
        is_said = ~torch.isin(batch.target_ids, self._stop_ids)
        ids, owners = batch.target_ids[is_said], batch.target_samples[is_said]
        ranks = torch.arange(len(ids), device=ids.device) - torch.searchsorted(owners, owners)
        fits = (ranks < slots.shape[1]) & (medium[owners] >= 0)
        words[medium[owners[fits]], ranks[fits]] = ids[fits]
        return words

    def _distances(self, found: Tensor, words: Tensor) -> Tensor:
        """The loss of each soft token `[N, D]` for its word `[N]`: `[N]`."""
        near = cross_entropy(found, words, head=self._nearness, rows=chunk_rows(len(self._table)))
        return near + _PULL * (found - self._table[words]).square().sum(1) / self._scale

    def _nearness(self, found: Tensor) -> Tensor:
        """Logits by squared distance: `[N, D]` to `[N, V]`."""
        squares = found.square().sum(1, keepdim=True) - 2 * found @ self._table.T + self._squares
        return -_SHARPNESS * squares / self._scale


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
