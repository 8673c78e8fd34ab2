"""One layer of learned queries that read: attention, then a feed-forward layer.

Does not know who asks and what is read; aligners are made of it.

Shapes: M media items, F features per item, Q queries, H heads, d width of a head, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aligners.layers import ACTIVATIONS, NORMS, Activation, Norm, check_known
from aligners.limits import AlignerError


class ReadLayer(nn.Module):
    """Attention and a feed-forward layer, each with its norm in front.

    Args:
        dim: D.
        num_heads: H.
        head_dim: d; `H * d` need not be D.
        key_heads: Heads of keys and values, each for several of the queries'; None takes H.
        mult: Width of the feed-forward layer over D; 0 leaves it out.
        activation: Of the feed-forward layer.
        norm: Of queries, of what they read, and of the feed-forward layer's input.
        bias: Of the linear layers.
        residual: Add what was read, and what was fed, to the queries.
        attends_context: Whether queries read features.
        attends_itself: Whether they read each other.
        normalise_heads: Put a norm over d on each head of queries and of keys.

    Raises:
        AlignerError: A name is unknown, or heads do not divide.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        head_dim: int,
        key_heads: int | None = None,
        mult: int = 4,
        activation: Activation = "gelu",
        norm: Norm = "layer",
        bias: bool = False,
        residual: bool = True,
        attends_context: bool = True,
        attends_itself: bool = True,
        normalise_heads: bool = False,
    ) -> None:
        super().__init__()
        check_known("activation", activation, list(ACTIVATIONS))
        check_known("norm", norm, list(NORMS))
        self.num_heads = num_heads
        self.key_heads = num_heads if key_heads is None else key_heads
        if self.key_heads < 1 or num_heads % self.key_heads:
            raise AlignerError(f"key_heads is {key_heads}; it must divide num_heads, {num_heads}")
        self.residual = residual
        self.attends_itself = attends_itself
        self.norm_context = NORMS[norm](dim) if attends_context else None
        self.norm_queries = NORMS[norm](dim)
        self.to_query = nn.Linear(dim, num_heads * head_dim, bias=bias)
        self.to_key = nn.Linear(dim, self.key_heads * head_dim, bias=bias)
        self.to_value = nn.Linear(dim, self.key_heads * head_dim, bias=bias)
        self.to_out = nn.Linear(num_heads * head_dim, dim, bias=bias)
        self.norm_query_heads = nn.LayerNorm(head_dim) if normalise_heads else nn.Identity()
        self.norm_key_heads = nn.LayerNorm(head_dim) if normalise_heads else nn.Identity()
        self.feed_forward = None
        if mult:
            wide = mult * dim
            self.feed_forward = nn.Sequential(
                NORMS[norm](dim),
                nn.Linear(dim, 2 * wide if activation == "swiglu" else wide, bias=bias),
                ACTIVATIONS[activation](),
                nn.Linear(wide, dim, bias=bias),
            )

    def forward(
        self,
        queries: Tensor,
        context: Tensor | None,
        mask: Tensor,
        *,
        query_places: Tensor | None = None,
        key_places: Tensor | None = None,
    ) -> Tensor:
        """One step of reading.

        Args:
            queries: `[M, Q, D]`.
            context: `[M, F, D]`, where features are read.
            mask: `[M, 1, 1, keys]` bool, True where a key is real; features before queries.
            query_places: `[Q, D]`, added to what asks.
            key_places: `[M, keys, D]`, added to keys and not to values.

        Returns:
            `[M, Q, D]`.
        """
        asking = self.norm_queries(queries)
        values = asking
        if self.norm_context is not None:
            assert context is not None, "a layer that reads features needs them"
            values = self.norm_context(context)
            if self.attends_itself:
                values = torch.cat([values, asking], dim=1)
        keys = values if key_places is None else values + key_places
        asked = asking if query_places is None else asking + query_places
        read = F.scaled_dot_product_attention(
            self.norm_query_heads(self._heads(self.to_query(asked), self.num_heads)),
            self.norm_key_heads(self._heads(self.to_key(keys), self.key_heads)),
            self._heads(self.to_value(values), self.key_heads),
            attn_mask=mask,
            enable_gqa=self.key_heads != self.num_heads,
        )  # [M, H, Q, d]
        queries = self._onto(queries, self.to_out(read.transpose(1, 2).flatten(2)))
        if self.feed_forward is None:
            return queries
        return self._onto(queries, self.feed_forward(queries))

    def _onto(self, queries: Tensor, made: Tensor) -> Tensor:
        return queries + made if self.residual else made

    def _heads(self, rows: Tensor, num_heads: int) -> Tensor:
        """`[M, N, H * d]` to `[M, H, N, d]`."""
        return rows.view(*rows.shape[:2], num_heads, -1).transpose(1, 2)
