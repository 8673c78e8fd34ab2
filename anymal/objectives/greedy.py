"""What the model itself would have said at each place of the chosen answer, under corrupted media.

POVID's second rejected answer (arXiv 2402.11411, and its released code): the likeliest
word at each place while the chosen answer is read, which is then scored under the true media. Does
not corrupt media and computes no loss.

Shapes: N target tokens, D layer width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.llm.cross_entropy import chunk_rows
from anymal.model import AnyMAL


@torch.no_grad()
def with_greedy_words(
    model: AnyMAL,
    batch: Batch,
    hidden: Tensor,
    *,
    lazy: Sequence[int],
    chosen: int,
    of_a_pair: int,
) -> Batch:
    """Give samples their words, and let them be scored where the chosen answer stands.

    Args:
        model: What reads.
        batch: The samples of each pair, one pair after the other.
        hidden: What `model.read` made of it.
        lazy: Places in a pair of the samples that wait for words; they hold the chosen answer under
            corrupted media.
        chosen: Place in a pair of the chosen answer under the true media.
        of_a_pair: Samples of each pair.

    Returns:
        The batch with other targets; as many as before, of the same samples.
    """
    rows, ids = batch.target_rows.clone(), batch.target_ids.clone()
    for first in range(0, len(batch.parts), of_a_pair):
        of_chosen = batch.target_samples == first + chosen
        for place in lazy:
            own = batch.target_samples == first + place
            ids[own] = _likeliest(model, hidden[batch.target_rows[own]])
            rows[own] = batch.target_rows[of_chosen]
    return replace(batch, target_rows=rows, target_ids=ids)


def _likeliest(model: AnyMAL, hidden: Tensor) -> Tensor:
    """The likeliest next word of each row `[N, D]`."""
    chunks = torch.split(hidden, chunk_rows(model.llm.vocab_size))
    return torch.cat([model.llm.head(chunk).argmax(-1) for chunk in chunks])
