"""Answers to a batch that stays as it is, as evaluation asks for them.

Does not let requests join or leave (see `anymal.engine`), and does not know text.

Shapes: B samples, S fused length, V vocabulary.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.engine.draw import TokenDrawer
from anymal.engine.sampling import Sampling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeState:
    """Where a batch of answers stands.

    Attributes:
        logits: `[B, V]` float32, scores of the next token.
        cache: Keys and values of all positions so far.
        mask: `[B, S]` bool, True at real positions so far.
        positions: `[B, 1]` int64, position of the next token.
        is_padded: Whether the mask must be told: it is False somewhere.
    """

    logits: Tensor
    cache: Any
    mask: Tensor
    positions: Tensor
    is_padded: bool


class Decoder(Protocol):
    """A model that answers step by step."""

    @property
    def stop_ids(self) -> Collection[int]:
        """Ids that end an answer."""
        ...

    def prefill(self, batch: Batch) -> DecodeState:
        """Read prompts."""
        ...

    def step(self, ids: Tensor, state: DecodeState) -> DecodeState:
        """Append one token to each answer."""
        ...


def generate(model: Decoder, batch: Batch, *, sampling: Sampling) -> Iterator[list[int | None]]:
    """Answer every sample of a batch.

    Args:
        model: Where logits come from.
        batch: Prompts, left-padded, on the model's device.
        sampling: How tokens are drawn.

    Yields:
        For each step one id per sample, or None for a sample whose answer has ended. Ids that end
        an answer are not given out.
    """
    state = model.prefill(batch)
    drawers = [TokenDrawer(sampling) for _ in batch.names]
    finished = [False] * len(batch.names)
    for index in range(sampling.max_tokens):
        chosen = _draw(drawers, state.logits)
        finished = [
            done or token in model.stop_ids for done, token in zip(finished, chosen, strict=True)
        ]
        if all(finished):
            return
        yield [None if done else t for done, t in zip(finished, chosen, strict=True)]
        if index + 1 < sampling.max_tokens:
            state = model.step(torch.tensor(chosen, device=state.logits.device), state)


def _draw(drawers: Sequence[TokenDrawer], logits: Tensor) -> list[int]:
    """The next token of every sample, from `[B, V]`."""
    return [drawer(row) for drawer, row in zip(drawers, logits, strict=True)]
