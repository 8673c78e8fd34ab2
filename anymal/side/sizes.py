"""The sizes of a language model that layers beside it depend on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSizes:
    """Sizes of a decoder.

    Attributes:
        num_layers: Decoder layers.
        hidden_dim: Width of the layers.
        num_heads: Heads of attention that ask.
        head_dim: Width of one head.
    """

    num_layers: int
    hidden_dim: int
    num_heads: int
    head_dim: int
