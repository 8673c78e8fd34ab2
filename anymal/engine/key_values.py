"""Keys and values of all layers, set aside once, in blocks.

Does not know who holds which block; see `anymal.engine.blocks`.

Shapes: H heads that answer, D width of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from anymal.engine.blocks import BLOCK_SIZE
from anymal.llm.packable import LayerShape


class KeyValues:
    """Keys and values of all layers, in blocks: `[blocks, BLOCK_SIZE, H, D]`."""

    def __init__(
        self,
        shapes: dict[int, LayerShape],
        *,
        num_blocks: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Sets all of it aside, filled with zeros."""

        def zeros(num_heads: int, dim: int) -> Tensor:
            size = (num_blocks, BLOCK_SIZE, num_heads, dim)
            return torch.zeros(size, dtype=dtype, device=device)

        self.keys = {layer: zeros(s.num_heads, s.key_dim) for layer, s in shapes.items()}
        self.values = {layer: zeros(s.num_heads, s.value_dim) for layer, s in shapes.items()}

    def scrub(self, blocks: Sequence[int]) -> None:
        """Fill blocks with zeros: a masked position must be finite all the same."""
        for tensor in (*self.keys.values(), *self.values.values()):
            tensor[list(blocks)] = 0
