"""Features averaged to Q positions and projected one by one: the aligners `linear` and `mlp`.

Does not mix features beyond averaging them.

Shapes: M media items, F features per item, Q soft tokens per item, D_enc encoder width,
D_llm width of the language model's embeddings.
"""

import torch
from torch import Tensor, nn

from aligners.base import real_values, start_at_rms
from aligners.pooling import pool_features
from encoders.base import Features


class Pooled(nn.Module):
    """Features averaged to Q positions, then a projection of each position.

    Args:
        project: From `[M, Q, D_enc]` to `[M, Q, D_llm]`.
        encoder_dim: D_enc.
        embedding_rms: How large soft tokens are at first.
        num_tokens: Q.
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
        num_tokens: int,
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
            self, self.scale, num_tokens=num_tokens, encoder_dim=encoder_dim, rms=embedding_rms
        )

    def forward(self, features: Features) -> Tensor:
        """Turn features into soft tokens.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.
        """
        pooled = pool_features(
            self.norm(real_values(features)), features.mask, self.num_tokens
        )  # [M, Q, D_enc]
        soft_tokens: Tensor = self.project(pooled) * self.scale
        return soft_tokens.float()
