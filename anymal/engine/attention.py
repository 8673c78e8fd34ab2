"""Attention over blocks: many sequences of different lengths in one row of positions.

A step says where each position's key and value are written, and which blocks each sequence reads.
How a language model of transformers comes to attend this way is `anymal.llm.attention`'s affair.

Shapes: T positions of a step, of which the first N are decoded (one for each of N sequences) and
the others are chunks of prompts; L positions that a sequence reads; Hq heads that ask and H that
answer, G = Hq / H; D width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from anymal.engine.blocks import BLOCK_SIZE, PADDING_BLOCK
from anymal.engine.key_values import KeyValues
from anymal.llm.attention import AttentionCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Positions of one sequence in a step.

    Attributes:
        start: First position that is computed.
        stop: The position after the last.
        blocks: The sequence's blocks.
    """

    start: int
    stop: int
    blocks: Sequence[int]


@dataclass(slots=True, kw_only=True)
class _Readers:
    """Sequences that read side by side: all that decode, or one chunk.

    Attributes:
        rows: Where their positions stand in the step.
        number: How many sequences.
        size: Positions of each.
        length: L, of the longest.
        blocks: `[number * blocks of each]` int64; a slice where they follow each other, so that
            nothing need be copied.
        first: `[number]` int64, the first position that each computes.
        masks: By window and G, as SDPA adds them; None where all may read all.
    """

    rows: slice
    number: int
    size: int
    length: int
    blocks: Tensor | slice
    first: Tensor
    masks: dict[Any, Tensor | None] = field(default_factory=dict)

    def read(self, blocks: Tensor) -> Tensor:
        """From `[blocks, BLOCK_SIZE, H, D]` to `[number, H, L, D]`."""
        chosen = self.blocks
        own = blocks[chosen] if isinstance(chosen, slice) else blocks.index_select(0, chosen)
        own = own.view(self.number, -1, *own.shape[2:])[:, : self.length]
        return own.transpose(1, 2)

    def mask(self, window: int | None, groups: int, dtype: torch.dtype) -> Tensor | None:
        """What is added to scores: `[number, 1, G * size, L]`, or `[number, 1, 1, L]`."""
        key = (window, groups if self.size > 1 else 1, dtype)
        if key not in self.masks:
            self.masks[key] = self._mask(*key)
        return self.masks[key]

    def _mask(self, window: int | None, groups: int, dtype: torch.dtype) -> Tensor | None:
        device = self.first.device
        asks = self.first[:, None] + torch.arange(self.size, device=device)  # [number, size]
        reads = torch.arange(self.length, device=device)
        allowed = reads <= asks[..., None]  # [number, size, L]
        if window is not None:
            allowed &= reads > asks[..., None] - window
        if bool(allowed.all()):
            return None
        mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
        mask.masked_fill_(~allowed, float("-inf"))
        return mask.repeat(1, groups, 1)[:, None]


class PackedAttention:
    """The attention of one step; see `anymal.llm.attention.Attention`."""

    def __init__(
        self,
        cache: KeyValues,
        *,
        decoding: Sequence[Stretch],
        chunks: Sequence[Stretch],
        device: torch.device,
    ) -> None:
        """Works out every index once, for all layers.

        Args:
            cache: Where keys and values are kept.
            decoding: Stretches of one position each, which stand first in the row.
            chunks: The others, in the order of the row.
            device: Where the row is.
        """
        self._cache = cache
        stretches = [*decoding, *chunks]
        places = [
            stretch.blocks[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
            for stretch in stretches
            for position in range(stretch.start, stretch.stop)
        ]
        self._places = torch.tensor(places, device=device)
        self._readers = []
        groups = [decoding] if decoding else []
        row = 0
        for group in [*groups, *([piece] for chunk in chunks for piece in _pieces(chunk, device))]:
            self._readers.append(_readers(group, row, device))
            row += sum(stretch.stop - stretch.start for stretch in group)

    def __call__(self, call: AttentionCall) -> Tensor:
        """See `anymal.llm.attention.Attention`."""
        assert call.layer is not None, "the self-test refuses layers without numbers"
        query, key, value = (each[0].transpose(0, 1) for each in (call.query, call.key, call.value))
        keys, values = self._cache.keys[call.layer], self._cache.values[call.layer]
        keys.flatten(0, 1).index_copy_(0, self._places, key)
        values.flatten(0, 1).index_copy_(0, self._places, value)
        parts = [
            _read(each, query[each.rows], keys, values, call.scaling, call.window)
            for each in self._readers
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None]


_PIECE = 128  # positions: of larger pieces a CPU computes too many scores that are masked


def _pieces(chunk: Stretch, device: torch.device) -> list[Stretch]:
    """Parts of a chunk, each of which reads no further than its own end."""
    size = _PIECE if device.type == "cpu" else chunk.stop - chunk.start
    return [
        Stretch(start=start, stop=min(start + size, chunk.stop), blocks=chunk.blocks)
        for start in range(chunk.start, chunk.stop, size)
    ]


def _readers(group: Sequence[Stretch], row: int, device: torch.device) -> _Readers:
    """Sequences with equally many positions each, from a row on."""
    size = group[0].stop - group[0].start
    length = max(stretch.stop for stretch in group)
    width = -(-length // BLOCK_SIZE)
    blocks = [
        block
        for stretch in group
        for block in (*stretch.blocks[:width], *[PADDING_BLOCK] * (width - len(stretch.blocks)))
    ]
    run = slice(blocks[0], blocks[0] + len(blocks))
    return _Readers(
        rows=slice(row, row + size * len(group)),
        number=len(group),
        size=size,
        length=length,
        blocks=run
        if blocks == [*range(run.start, run.stop)]
        else torch.tensor(blocks, device=device),
        first=torch.tensor([stretch.start for stretch in group], device=device),
    )


def _read(
    readers: _Readers,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """From `[rows, Hq, D]` to `[rows, Hq, D]`.

    The G heads that share keys ask as so many more positions, so that no key is copied for them.
    """
    num_heads, number, size = keys.shape[2], readers.number, readers.size
    groups = query.shape[1] // num_heads
    asks = query.reshape(number, size, num_heads, groups, query.shape[-1])
    asks = asks.permute(0, 2, 3, 1, 4).reshape(number, num_heads, groups * size, -1)
    found = scaled_dot_product_attention(
        asks,
        readers.read(keys),
        readers.read(values),
        attn_mask=readers.mask(window, groups, query.dtype),
        scale=scaling,
    )  # [number, H, G * size, D]
    found = found.view(number, num_heads, groups, size, -1).permute(0, 3, 1, 2, 4)
    return found.reshape(number * size, num_heads * groups, -1)
