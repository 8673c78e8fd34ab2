"""The objective `words`: soft tokens become the words that tell what a medium is.

Not in the AnyMAL paper; a start for its stage `align`. No layer of the language model runs, only
its table of embeddings is read, so a step costs a fraction of one that answers questions; and what
the language model knows about descriptions in words then holds for media, comparisons included.

Shapes: B samples, M media items of one modality, Q soft tokens per item, V vocabulary, D width.
"""

from functools import partial

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.cross_entropy import chunk_rows, cross_entropy
from anymal.errors import DataError
from anymal.model import AnyMAL, Loss

# Distances are in units of the mean squared length of an embedding; words that have nothing in
# common are 2 apart.
_SHARPNESS = 4.0
# Being nearest is not yet being there.
_PULL = 0.5


def word_loss(model: AnyMAL, batch: Batch) -> Loss:
    """How far soft tokens are from the words of the answer, one by one.

    Soft token i is classified as the i-th token of the sample's answers, by its distance to all
    embeddings, and drawn to it. Soft tokens that are left over become what stands behind the
    medium, such as the line break of its `suffix`: the medium then reads as its description would.

    Args:
        model: The language model's layers are not used.
        batch: On the model's device, with labels, padded and not packed; one medium per sample.

    Returns:
        The sum over all soft tokens, and their number.

    Raises:
        DataError: A sample has no medium, or several.
    """
    samples = torch.cat([_samples(slots, batch) for slots in batch.slots.values()])
    if samples.sort().values.tolist() != list(range(len(batch.names))):
        alone = samples.bincount(minlength=len(batch.names)).tolist()
        names = [name for name, count in zip(batch.names, alone, strict=True) if count != 1]
        raise DataError(
            f"{', '.join(names)}: objective words needs one medium in each sample; "
            "use objective: answer for such records"
        )
    table = model.llm.embed(torch.arange(model.llm.vocab_size, device=model.device)).float()
    scale = table.square().sum(1).mean()
    head = partial(_nearness, table=table, scale=scale)
    losses = []
    soft_tokens = model.align(model.encode(batch.media))
    for name, soft in soft_tokens.items():
        words = _words(batch, batch.slots[name], model.stop_ids).flatten()  # [M * Q]
        found = soft.flatten(0, 1)  # [M * Q, D]
        each = cross_entropy(found, words, head=head, rows=chunk_rows(len(table)))
        each = each + _PULL * (found - table[words]).square().sum(1) / scale
        losses.append(each.view(soft.shape[:2]).sum(1))  # [M]
    of_media = torch.cat(losses)  # [B], in the order of `samples`
    return Loss(
        total=of_media.sum(),
        num_tokens=sum(slots.numel() for slots in batch.slots.values()),
        per_sample=torch.zeros_like(of_media).index_copy(0, samples, of_media).detach(),
    )


def _samples(slots: Tensor, batch: Batch) -> Tensor:
    """The sample in which each medium stands, `[M]`."""
    assert not batch.is_packed, "the layout of this objective is padded"
    return slots[:, 0] // batch.ids.shape[1]


def _words(batch: Batch, slots: Tensor, stop_ids: frozenset[int]) -> Tensor:
    """What the soft tokens of each medium are to be, `[M, Q]` int64."""
    num_tokens = slots.shape[1]
    ids = batch.ids.flatten()
    words = ids[slots[:, -1] + 1, None].repeat(1, num_tokens)
    for row, sample in zip(words, _samples(slots, batch).tolist(), strict=True):
        answer = batch.target_ids[batch.target_samples == sample]
        stops = torch.tensor(sorted(stop_ids), device=answer.device)
        answer = answer[~torch.isin(answer, stops)][:num_tokens]
        row[: len(answer)] = answer
    return words


def _nearness(found: Tensor, *, table: Tensor, scale: Tensor) -> Tensor:
    """Logits by squared distance: `[N, D]` to `[N, V]`."""
    squares = found.square().sum(1, keepdim=True) - 2 * found @ table.T + table.square().sum(1)
    return -_SHARPNESS * squares / scale
