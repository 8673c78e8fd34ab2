"""Features projected one by one, each of them or their averages: the aligners `linear` and `mlp`.

Does not mix features beyond averaging them.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width,
D_llm width of the language model's embeddings.
"""

import torch
from torch import Tensor, nn

from aligners.base import SoftTokens, real_values, start_at_rms
from aligners.pooling import pool_features
from encoders.base import Features, Layout

_PROBE_FEATURES = 64


class Pooled(nn.Module):
    """A projection of each feature, or of Q averages of them.

    Args:
        project: From `[M, Q, D_enc]` to `[M, Q, D_llm]`.
        encoder_dim: D_enc.
        embedding_rms: How large soft tokens are at first.
        num_tokens: Q; None gives one soft token for each real feature.
        normalise: Bring each feature to zero mean and unit variance first, so that the first
            scale holds for any encoder.
    """

    scale: Tensor

    def __init__(
        self,
        project: nn.Module,
        *,
        encoder_dim: int,
        embedding_rms: float,
        num_tokens: int | None,
        normalise: bool,
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.norm = (
            nn.LayerNorm(encoder_dim, elementwise_affine=False) if normalise else nn.Identity()
        )
        self.project = project
        self.register_buffer("scale", torch.ones(()))
        start_at_rms(
            self,
            self.scale,
            num_features=num_tokens or _PROBE_FEATURES,
            encoder_dim=encoder_dim,
            rms=embedding_rms,
        )

    def count(self, layout: Layout) -> int:
        """Q of an item."""
        return layout.count if self.num_tokens is None else self.num_tokens

    def forward(self, features: Features) -> SoftTokens:
        """Turn features into soft tokens.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]`; with one for each feature, they stand where those stood.
        """
        values, mask = self.norm(real_values(features)), None
        if self.num_tokens is None:
            mask = features.mask
        else:
            values = pool_features(values, features.mask, self.num_tokens)
        projected: Tensor = self.project(values) * self.scale
        return SoftTokens(values=projected.float(), mask=mask)
