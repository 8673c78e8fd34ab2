"""The role of an aligner, and the scale that its output starts with.

Holds no aligner; those live in one file per kind.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width, D_llm
width of the language model's embeddings.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from encoders.base import Features

_PROBE_ITEMS = 4


class AlignerError(ValueError):
    """A mistake in how an aligner was named or configured; the message says what to change."""


class Aligner(Protocol):
    """A trainable bridge (an `nn.Module`) from features to soft tokens.

    Its weights are float32, its output is float32, and features outside the mask never change it.
    """

    num_tokens: int

    def __call__(self, features: Features) -> Tensor:
        """Turn features `[M, F, D_enc]` into soft tokens `[M, Q, D_llm]`."""
        ...


@torch.no_grad()
def start_at_rms(
    aligner: nn.Module, scale: Tensor, *, num_tokens: int, encoder_dim: int, rms: float
) -> None:
    """Set an aligner's output scale so that its soft tokens start as large as words are.

    Measured on noise of unit variance from a generator of its own, so that it neither needs data
    nor moves the global random state.

    Args:
        aligner: Takes `Features`; multiplies its output by `scale`.
        scale: Scalar buffer, set in place.
        num_tokens: Q.
        encoder_dim: D_enc.
        rms: Root mean square of the language model's embedding table.
    """
    if scale.is_meta:  # only its sizes are wanted
        return
    generator = torch.Generator().manual_seed(0)
    shape = (_PROBE_ITEMS, num_tokens, encoder_dim)
    probe = Features(
        values=torch.randn(shape, generator=generator),
        mask=torch.ones(shape[:2], dtype=torch.bool),
        steps=torch.zeros(shape[:2], dtype=torch.int64),
    )
    scale.fill_(1.0)
    scale.fill_(rms / float(aligner(probe).square().mean().sqrt()))


def real_values(features: Features) -> Tensor:
    """Features in float32 `[M, F, D_enc]`, zero outside the mask even where they were not finite.

    Args:
        features: What the encoder saw.

    Returns:
        The values.
    """
    return features.values.float().masked_fill(~features.mask[..., None], 0.0)
