"""The cross-entropy of chosen positions in constant memory, whatever the vocabulary.

Does not choose the positions, and knows of the output head only that it scores rows. Rows go
through head and loss in chunks; a chunk's logits are computed again for the backward pass instead
of kept. What fits into one chunk is computed as it would be without any of this.

Shapes: N rows, D layer width, V vocabulary.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 128 * 2**20  # of float32 logits; about three times as much is held for a moment

Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loss:
    """What an objective makes of a batch, summed.

    Attributes:
        total: Scalar float32.
        count: What a mean divides by: how many target tokens it is a sum over, or pairs.
        per_sample: `[B]` float32 without gradient; of target tokens, the sum of each sample.
        measures: Scalars to report by name, summed over what `count` counts; without gradient.
    """

    total: Tensor
    count: int
    per_sample: Tensor
    measures: Mapping[str, Tensor] = field(default_factory=dict)


def chunk_rows(vocab_size: int) -> int:
    """How many rows one chunk has."""
    return max(1, CHUNK_BYTES // (4 * vocab_size))


def cross_entropy(hidden: Tensor, targets: Tensor, *, head: Head, rows: int) -> Tensor:
    """Score rows and compare them with what was wanted.

    Args:
        hidden: `[N, D]`.
        targets: `[N]` int64.
        head: From `[rows, D]` to logits `[rows, V]`; called once more for each chunk, if there are
            several, in the backward pass, so it must not depend on chance.
        rows: Most rows of one chunk.

    Returns:
        `[N]` float32, in nats.
    """
    if len(hidden) <= rows:
        return _losses(hidden, targets, head)
    chunks = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat(
        [
            checkpoint(_losses, *chunk, head, use_reentrant=False, preserve_rng_state=False)
            for chunk in chunks
        ]
    )


def _losses(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    return F.cross_entropy(head(hidden).float(), targets, reduction="none")
