"""Tokens from a model that can prefill and step: greedy or sampled, one loop.

Does not know media or text; stop strings and detokenising are the engine's.

Shapes: B samples, S fused length, V vocabulary.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from anymal.collate import Batch


class Sampling(Protocol):
    """How tokens are drawn; `anymal.engine.sampling.Sampling` is one."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of an answer."""
        ...

    @property
    def temperature(self) -> float:
        """0 takes the likeliest token."""
        ...

    @property
    def top_p(self) -> float:
        """Sample among the likeliest tokens that hold this much probability."""
        ...

    @property
    def seed(self) -> int | None:
        """Makes sampling repeatable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The likeliest token, always."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodeState:
    """Where a batch of answers stands.

    Attributes:
        logits: `[B, V]` float32, scores of the next token.
        cache: Keys and values of all positions so far.
        mask: `[B, S]` bool, True at real positions so far.
        positions: `[B, 1]` int64, position of the next token.
        is_padded: Whether the mask is False anywhere.
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

    Returns:
        For each step one id per sample, or None for a sample whose answer has ended. Ids that end
        an answer are not given out.
    """
    return continue_from(model, model.prefill(batch), sampling=sampling)


def continue_from(
    model: Decoder, state: DecodeState, *, sampling: Sampling
) -> Iterator[list[int | None]]:
    """Answer from where a state stands; see `generate`.

    Args:
        model: Where further logits come from.
        state: Its cache is extended in place.
        sampling: How tokens are drawn.

    Yields:
        As `generate`.
    """
    draw = Sampler(sampling)
    finished = [False] * len(state.logits)
    for index in range(sampling.max_tokens):
        ids = draw(state.logits)  # [B]
        chosen = ids.tolist()
        finished = [
            done or token in model.stop_ids for done, token in zip(finished, chosen, strict=True)
        ]
        if all(finished):
            return
        yield [None if done else t for done, t in zip(finished, chosen, strict=True)]
        if index + 1 < sampling.max_tokens:
            state = model.step(ids, state)


class Sampler:
    """Draws tokens; its random numbers are its own, so that one answer never changes another.

    Args:
        sampling: Temperature, top_p and seed.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        # On the CPU, so that a seed means the same tokens wherever the model runs.
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def __call__(self, logits: Tensor) -> Tensor:
        """Draw the next token of every sample.

        Args:
            logits: `[B, V]` float32.

        Returns:
            Ids `[B]` int64, where the logits are.
        """
        if self._temperature == 0:
            return logits.argmax(dim=-1)
        chances = (logits.cpu() / self._temperature).softmax(dim=-1)
        ordered, ids = chances.sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered
        kept = ordered.masked_fill(before >= self._top_p, 0.0)  # the likeliest always stays
        drawn = torch.multinomial(kept, 1, generator=self._generator)
        return ids.gather(-1, drawn)[:, 0].to(logits.device)
