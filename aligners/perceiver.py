"""A Flamingo-style perceiver resampler: learned queries read any number of features.

Does not know where features come from; time enters through `Features.steps` only.

Shapes: M media items, F features per item, Q soft tokens (queries) per item, H heads,
D_enc encoder width, D hidden width, D_llm width of the language model's embeddings.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aligners.base import real_values, start_at_rms
from aligners.limits import AlignerError
from encoders.base import Features

Activation = Literal["gelu", "relu"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class Perceiver(nn.Module):
    """Queries attend to features and to themselves, layer by layer (Flamingo, section 2.1).

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first.
        num_tokens: Q.
        depth: Layers.
        num_heads: H.
        head_dim: Width of a head; `H * head_dim` need not be D.
        hidden_dim: D; None takes the encoder's width and puts no layer in front.
        mult: Width of the feed-forward layer over D.
        num_steps: Times that have an embedding of their own, later ones sharing the last; 0 for
            none.
        activation: Of the feed-forward layer.

    Raises:
        AlignerError: A size is too small, or the activation is unknown.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int = 64,
        depth: int = 6,
        num_heads: int = 8,
        head_dim: int = 64,
        hidden_dim: int | None = None,
        mult: int = 4,
        num_steps: int = 0,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        dim = encoder_dim if hidden_dim is None else hidden_dim
        _check_at_least(1, depth=depth, num_heads=num_heads, head_dim=head_dim)
        _check_at_least(1, hidden_dim=dim, mult=mult)
        _check_at_least(0, num_steps=num_steps)
        if activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise AlignerError(f"unknown activation '{activation}'; known: {known}")
        self.num_tokens = num_tokens
        self.project_in = nn.Identity() if hidden_dim is None else nn.Linear(encoder_dim, dim)
        self.time = nn.Embedding(num_steps, dim) if num_steps else None
        self.queries = nn.Parameter(torch.randn(num_tokens, dim))
        self.layers = nn.ModuleList(
            _Layer(dim, num_heads=num_heads, head_dim=head_dim, mult=mult, activation=activation)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.project_out = nn.Linear(dim, llm_dim)
        nn.init.normal_(self.project_out.weight, std=dim**-0.5)
        nn.init.zeros_(self.project_out.bias)
        if self.time is not None:
            # About as large as the features, or else queries learn late to tell times apart.
            nn.init.normal_(self.time.weight, std=0.5)
        self.register_buffer("scale", torch.ones(()))
        start_at_rms(
            self, self.scale, num_features=num_tokens, encoder_dim=encoder_dim, rms=embedding_rms
        )

    def forward(self, features: Features) -> Tensor:
        """Resample features to soft tokens.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.
        """
        soft_tokens: Tensor = self.project_out(self.resample(features)) * self.scale
        return soft_tokens.float()

    def resample(self, features: Features) -> Tensor:
        """The queries after the last layer and its norm, `[M, Q, D]`, before the projection."""
        context = self.project_in(real_values(features))  # [M, F, D]
        if self.time is not None:
            steps = features.steps.clamp(0, self.time.num_embeddings - 1)
            context = context + self.time(steps)
        queries = self.queries.expand(context.shape[0], -1, -1)  # [M, Q, D]
        own = features.mask.new_ones(queries.shape[:2])
        mask = torch.cat([features.mask, own], dim=1)[:, None, None, :]  # [M, 1, 1, F + Q]
        for layer in self.layers:
            queries = layer(queries, context, mask)
        normed: Tensor = self.norm(queries)
        return normed


def _check_at_least(least: int, **sizes: int) -> None:
    """Refuse sizes that are too small."""
    for name, size in sizes.items():
        if size < least:
            raise AlignerError(f"{name} is {size}; it must be at least {least}")


class _Layer(nn.Module):
    """Attention over features and queries together, then a feed-forward layer; both pre-norm."""

    def __init__(
        self, dim: int, *, num_heads: int, head_dim: int, mult: int, activation: Activation
    ) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads = num_heads
        self.norm_context = nn.LayerNorm(dim)
        self.norm_queries = nn.LayerNorm(dim)
        self.to_query = nn.Linear(dim, inner, bias=False)
        self.to_key = nn.Linear(dim, inner, bias=False)
        self.to_value = nn.Linear(dim, inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, mult * dim, bias=False),
            _ACTIVATIONS[activation](),
            nn.Linear(mult * dim, dim, bias=False),
        )

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """One step of reading, `[M, Q, D]`."""
        normed = self.norm_queries(queries)
        keys = torch.cat([self.norm_context(context), normed], dim=1)  # [M, F + Q, D]
        read = F.scaled_dot_product_attention(
            self._heads(self.to_query(normed)),
            self._heads(self.to_key(keys)),
            self._heads(self.to_value(keys)),
            attn_mask=mask,
        )  # [M, H, Q, D / H]
        queries = queries + self.to_out(read.transpose(1, 2).flatten(2))
        fed: Tensor = self.feed_forward(queries)
        return queries + fed

    def _heads(self, rows: Tensor) -> Tensor:
        """`[M, N, H * d]` to `[M, H, N, d]`."""
        return rows.view(*rows.shape[:2], self.num_heads, -1).transpose(1, 2)
