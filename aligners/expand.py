"""One feature to several soft tokens by one linear map: Frozen's visual prefix (arXiv 2106.13884).

Does not pool; the encoder gives one feature for each medium.

Shapes: M media items, Q soft tokens per item, D_enc encoder width, D_llm width of the language
model's embeddings.
"""

from typing import get_args

import torch
from torch import Tensor, nn

from aligners.base import real_values, start_at_rms
from aligners.layers import Start, check_known
from aligners.limits import AlignerError
from encoders.base import Features


class Expand(nn.Module):
    """A linear map from one feature to Q soft tokens, one after the other (section 3.1).

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first, with `start: rms`.
        num_tokens: Q.
        start: Scale the output so that soft tokens start as large as words, or leave it `plain`.

    Raises:
        AlignerError: `start` is unknown.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int = 2,
        start: Start = "rms",
    ) -> None:
        super().__init__()
        check_known("start", start, get_args(Start))
        self.num_tokens = num_tokens
        self.project = nn.Linear(encoder_dim, num_tokens * llm_dim)
        self.register_buffer("scale", torch.ones(()))
        if start == "rms":
            start_at_rms(
                self, self.scale, num_features=1, encoder_dim=encoder_dim, rms=embedding_rms
            )

    def forward(self, features: Features) -> Tensor:
        """Expand features to soft tokens.

        Args:
            features: `[M, 1, D_enc]`.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.

        Raises:
            AlignerError: A medium has more than one feature.
        """
        num_items, num_features, _ = features.values.shape
        if num_features != 1:
            raise AlignerError(
                f"expand takes one feature for each medium, and the encoder gave {num_features}; "
                "let it give one (pooled: true of a vision encoder), or take a perceiver"
            )
        made: Tensor = self.project(real_values(features)) * self.scale
        return made.float().view(num_items, self.num_tokens, -1)
