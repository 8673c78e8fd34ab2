"""The role of an aligner, and the scale that its output starts with.

Holds no aligner; those live in one file per kind.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width, D_llm
width of the language model's embeddings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from encoders.base import Features, Layout

_PROBE_ITEMS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoftTokens:
    """What an aligner made of media items, which may be of different length.

    Attributes:
        values: `[M, Q, D_llm]` float32.
        mask: `[M, Q]` bool, True where a soft token stands; None is everywhere.
    """

    values: Tensor
    mask: Tensor | None = None

    def counts(self) -> list[int]:
        """How many soft tokens each item has."""
        if self.mask is None:
            return [self.values.shape[1]] * self.values.shape[0]
        counts: list[int] = self.mask.sum(dim=1).tolist()
        return counts

    def flat(self) -> Tensor:
        """The soft tokens of all items, one after the other, `[N, D_llm]`."""
        return self.values.flatten(0, 1) if self.mask is None else self.values[self.mask]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadsText:
    """What an aligner reads beside features: the words of the message that carries the medium.

    Attributes:
        vocab_size: How many words it knows; ids are below.
        most: How many it reads of one message.
    """

    vocab_size: int
    most: int


class Aligner(Protocol):
    """A trainable bridge (an `nn.Module`) from features to soft tokens.

    Its weights are float32, its output is float32, and features outside the mask never change it.

    Attributes:
        num_tokens: Q, the same for every item; None where it depends on the item's layout. An
            aligner that always has a number needs no `count`, and may return values alone.
        reads_text: What it reads beside features, which then have `words`. None, or no such
            attribute, reads features alone; see `reads_text_of`.
    """

    num_tokens: int | None

    def count(self, layout: Layout) -> int:
        """Q of an item, from the layout of its features; needs no weights."""
        ...

    def __call__(self, features: Features) -> SoftTokens | Tensor:
        """Turn features `[M, F, D_enc]` into soft tokens, or into their values `[M, Q, D_llm]`."""
        ...


def reads_text_of(aligner: object) -> ReadsText | None:
    """What an aligner reads beside features, if anything."""
    reads: ReadsText | None = getattr(aligner, "reads_text", None)
    return reads


def soft_tokens_of(made: SoftTokens | Tensor) -> SoftTokens:
    """What an aligner returned, as soft tokens."""
    return SoftTokens(values=made) if isinstance(made, Tensor) else made


@torch.no_grad()
def start_at_rms(
    aligner: Callable[[Features], SoftTokens | Tensor],
    scale: Tensor,
    *,
    num_features: int,
    encoder_dim: int,
    rms: float,
) -> None:
    """Set an aligner's output scale so that its soft tokens start as large as words are.

    Measured on noise of unit variance from a generator of its own, so that it neither needs data
    nor moves the global random state.

    Args:
        aligner: Takes `Features`; multiplies its output by `scale`.
        scale: Scalar buffer, set in place.
        num_features: F of the noise.
        encoder_dim: D_enc.
        rms: Root mean square of the language model's embedding table.
    """
    if scale.is_meta:  # only its sizes are wanted
        return
    generator = torch.Generator().manual_seed(0)
    shape = (_PROBE_ITEMS, num_features, encoder_dim)
    probe = Features(
        values=torch.randn(shape, generator=generator),
        mask=torch.ones(shape[:2], dtype=torch.bool),
        steps=torch.zeros(shape[:2], dtype=torch.int64),
        layouts=(Layout(rows=1, columns=num_features),) * _PROBE_ITEMS,
    )
    scale.fill_(1.0)
    values = soft_tokens_of(aligner(probe)).values
    scale.fill_(rms / float(values.square().mean().sqrt()))


def real_values(features: Features) -> Tensor:
    """Features in float32 `[M, F, D_enc]`, zero outside the mask even where they were not finite.

    Args:
        features: What the encoder saw.

    Returns:
        The values.
    """
    return features.values.float().masked_fill(~features.mask[..., None], 0.0)
