"""What the model keeps saying: it is held to what it would have said at the start of the stage.

HALVA's second term (arXiv 2405.18654): on other records, the KL divergence of the
distributions over words from those of the reference. Does not keep the reference (see
`train.start_weights`) and reads no records.

Shapes: P kept samples, one of each pair, N their target tokens, V vocabulary, D layer width.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from anymal.collate import Batch
from anymal.llm.cross_entropy import Head, chunk_rows
from anymal.model import AnyMAL

KEPT = "kept"
"""The branch of a sample whose record is no part of the pair."""

AtStart = Callable[[AnyMAL], AbstractContextManager[None]]
"""For a moment, a model with the weights of the reference; afterwards it has its own again."""


def divergence(wanted: Tensor, own: Tensor) -> Tensor:
    """KL(wanted || own) of log-probabilities `[N, V]`: `[N]`, in nats."""
    return F.kl_div(own, wanted, reduction="none", log_target=True).sum(-1)


class Kept:
    """Measures how far the model is from the reference on the kept samples of a batch.

    Args:
        weight: How much a divergence counts beside the loss of its pair.
        at_start: Gives the model the weights of the reference.
    """

    def __init__(self, weight: float, *, at_start: AtStart) -> None:
        self.weight = weight
        self._at_start = at_start

    def __call__(self, model: AnyMAL, batch: Batch, hidden: Tensor) -> Tensor:
        """The divergence of each kept sample, summed over its target tokens.

        The log-probabilities of the reference, `[N, V]` float32, are held until the backward pass.

        Args:
            model: The policy.
            batch: With a kept sample for each pair.
            hidden: What `model.read` made of it.

        Returns:
            `[P]`, in nats.
        """
        is_kept = torch.tensor([part.branch == KEPT for part in batch.parts], device=hidden.device)
        numbers = is_kept.cumsum(0) - 1  # of each sample among the kept
        owners = batch.target_samples
        rows = batch.target_rows[is_kept[owners]]
        size, head = chunk_rows(model.llm.vocab_size), model.llm.head
        with torch.no_grad(), self._at_start(model):
            then = model.read(batch)[rows]
            wanted = [F.log_softmax(head(chunk), -1) for chunk in torch.split(then, size)]
        each = [
            checkpoint(_divergence, *chunk, head, use_reentrant=False, preserve_rng_state=False)
            for chunk in zip(torch.split(hidden[rows], size), wanted, strict=True)
        ]
        found = hidden.new_zeros(int(is_kept.sum()), dtype=torch.float32)
        return found.index_add(0, numbers[owners[is_kept[owners]]], torch.cat(each))


def _divergence(hidden: Tensor, wanted: Tensor, head: Head) -> Tensor:
    return divergence(wanted, F.log_softmax(head(hidden), -1))
