"""Gated cross-attention in front of decoder layers (Flamingo, arXiv 2204.14198, section 2.2).

    y <- y + tanh(a) attention(norm y, media)        y <- y + tanh(b) feed_forward(norm y)

Both gates start at zero, so at first the language model is what it was. A position that reads no
medium gets nothing of the attention, and all of the feed-forward layer. Does not resample media:
aligners do.

Shapes: P positions of a pass; M media, Q soft tokens of each, D_side their width; H heads; D width
of a head; D_llm width of a decoder layer.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu
from torch.utils.checkpoint import checkpoint

from anymal.errors import RecipeError
from anymal.side.base import Media, Memory, Side, SideLayers
from anymal.side.reads import Reader, Reads, Stretch, media_stretches
from anymal.side.sizes import DecoderSizes

FeedForward = Literal["gelu", "relu", "squared_relu", "swiglu"]


class Cross(SideLayers):
    """Blocks before every n-th decoder layer.

    Args:
        sizes: Of the language model.
        every: How many decoder layers there are from one block to the next.
        first: The decoder layer of the first block, from 0; None is `every - 1`, as in
            OpenFlamingo. Idefics takes 0.
        media_dim: D_side; None takes D_llm.
        num_heads: H.
        head_dim: D; H times D need not be a width of anything else.
        reads: Whether a position reads the last medium before it, or all media before it.
        feed_forward: Its activation; `swiglu` has a gate of its own.
        ffn_dim: Its inner width; None is four times D_llm.
        gate: One number for each half of a block, or one for each of D_llm entries (`vector`).
        norm: LayerNorm, or RMSNorm.
        eps: Of the norms.
        normalise_heads: Whether queries and keys go through an RMSNorm, head by head.

    Raises:
        RecipeError: No layer gets a block.
    """

    is_positional = True

    def __init__(
        self,
        *,
        sizes: DecoderSizes,
        every: int = 1,
        first: int | None = None,
        media_dim: int | None = None,
        num_heads: int = 8,
        head_dim: int = 64,
        reads: Literal["last", "all"] = "last",
        feed_forward: FeedForward = "gelu",
        ffn_dim: int | None = None,
        gate: Literal["scalar", "vector"] = "scalar",
        norm: Literal["layer", "rms"] = "layer",
        eps: float = 1e-5,
        normalise_heads: bool = False,
    ) -> None:
        super().__init__()
        self.media_dim = media_dim or sizes.hidden_dim
        self._reads_all = reads == "all"
        numbers = range(every - 1 if first is None else first, sizes.num_layers, every)
        if not numbers:
            raise RecipeError(
                f"model.side puts its first block before layer {numbers.start}, but the language "
                f"model has {sizes.num_layers} layers, from 0; lower side.first or side.every"
            )
        self.blocks = nn.ModuleDict(
            {
                str(number): _Block(
                    sizes.hidden_dim,
                    self.media_dim,
                    num_heads=num_heads,
                    head_dim=head_dim,
                    feed_forward=feed_forward,
                    ffn_dim=ffn_dim or 4 * sizes.hidden_dim,
                    gate_dim=sizes.hidden_dim if gate == "vector" else 1,
                    norm=norm,
                    eps=eps,
                    normalise_heads=normalise_heads,
                )
                for number in numbers
            }
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """See `SideLayers.numbers`."""
        return tuple(map(int, self.blocks))

    def remember(self, media: Media, *, layers: Sequence[nn.Module], dtype: torch.dtype) -> Memory:
        """See `SideLayers.remember`; one item for each medium."""
        keys: dict[int, Tensor] = {}
        values: dict[int, Tensor] = {}
        for name, block in self.blocks.items():
            own = cast(_Block, block)
            keys[int(name)], values[int(name)] = own.keys_values(media.values)
        return Memory(keys=keys, values=values, mask=media.mask)

    def stretches(self, readers: Sequence[Reader]) -> list[Stretch]:
        """See `SideLayers.stretches`."""
        return media_stretches(readers, reads_all=self._reads_all)

    def before(self, layer: int, hidden: Tensor, side: Side) -> Tensor:
        """See `SideLayers.before`."""
        if str(layer) not in self.blocks:
            return hidden
        block = self.blocks[str(layer)]
        rows = hidden.reshape(-1, hidden.shape[-1]).float()
        memory = side.memory
        given = (rows, memory.keys[layer], memory.values[layer], memory.mask, side.reads)
        if self.checkpoints and torch.is_grad_enabled():
            rows = cast(
                Tensor,
                checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False),
            )
        else:
            rows = block(*given)
        return rows.view_as(hidden).to(hidden.dtype)


class _Block(nn.Module):
    """One gated block."""

    def __init__(
        self,
        dim: int,
        media_dim: int,
        *,
        num_heads: int,
        head_dim: int,
        feed_forward: FeedForward,
        ffn_dim: int,
        gate_dim: int,
        norm: Literal["layer", "rms"],
        eps: float,
        normalise_heads: bool,
    ) -> None:
        super().__init__()
        inner = num_heads * head_dim
        make_norm = nn.LayerNorm if norm == "layer" else nn.RMSNorm
        self.num_heads, self.head_dim = num_heads, head_dim
        self.norm = make_norm(dim, eps=eps)
        self.to_query = nn.Linear(dim, inner, bias=False)
        self.to_key = nn.Linear(media_dim, inner, bias=False)
        self.to_value = nn.Linear(media_dim, inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)
        self.norm_query = nn.RMSNorm(head_dim, eps=eps) if normalise_heads else nn.Identity()
        self.norm_key = nn.RMSNorm(head_dim, eps=eps) if normalise_heads else nn.Identity()
        self.gate = nn.Parameter(torch.zeros(gate_dim))
        self.norm_fed = make_norm(dim, eps=eps)
        self.feed_forward = _FeedForward(dim, ffn_dim, feed_forward)
        self.gate_fed = nn.Parameter(torch.zeros(gate_dim))

    def keys_values(self, media: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[M, H, Q, D]` of soft tokens `[M, Q, D_side]`."""
        keys = self._heads(self.to_key(media)).float()  # autocast makes less of them
        return self.norm_key(keys), self._heads(self.to_value(media))

    def forward(
        self, rows: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, reads: Reads
    ) -> Tensor:
        """From `[P, D_llm]` to `[P, D_llm]`."""
        query = self.to_query(self.norm(rows)).view(-1, self.num_heads, self.head_dim)
        found = reads.attend(self.norm_query(query.float()), keys, values, mask=mask)
        rows = rows + self.gate.tanh() * self.to_out(found.flatten(1))
        fed: Tensor = self.feed_forward(self.norm_fed(rows))
        return rows + self.gate_fed.tanh() * fed

    def _heads(self, rows: Tensor) -> Tensor:
        """`[M, Q, H * D]` to `[M, H, Q, D]`."""
        return rows.view(*rows.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)


class _FeedForward(nn.Module):
    """Two linear layers, or with `swiglu` three; none has biases."""

    def __init__(self, dim: int, inner: int, activation: FeedForward) -> None:
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(dim, inner, bias=False)
        self.gate = nn.Linear(dim, inner, bias=False) if activation == "swiglu" else None
        self.down = nn.Linear(inner, dim, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """From `[P, D_llm]` to `[P, D_llm]`."""
        up = self.up(rows)
        if self.gate is not None:
            up = silu(self.gate(rows)) * up
        elif self.activation == "gelu":
            up = nn.functional.gelu(up)
        else:
            up = relu(up)
            up = up.square() if self.activation == "squared_relu" else up
        down: Tensor = self.down(up)
        return down
