"""Queries and features in one row through transformer blocks, the queries kept: LLaMA-Adapter V2.

Does not tell features from queries within a block; a perceiver does.

Shapes: M media items, F features per item, Q soft tokens (queries) per item, D_enc encoder width,
D hidden width, D_llm width of the language model's embeddings.
"""

from typing import get_args

import torch
from torch import Tensor, nn

from aligners.attention import ReadLayer
from aligners.base import real_values, start_at_rms
from aligners.layers import NORMS, Norm, Start, check_at_least, check_known
from aligners.limits import AlignerError
from encoders.base import Features


class Joint(nn.Module):
    """Learned queries in front of the features, read by blocks of a ViT (arXiv 2304.15010).

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first, with `start: rms`.
        num_tokens: Q.
        depth: Blocks.
        num_heads: Heads of a block.
        hidden_dim: D; None takes the encoder's width.
        mult: Width of the feed-forward layer over D.
        norm_out: Of the soft tokens; the released model has `layer`.
        start: Scale the output so that soft tokens start as large as words, or leave it `plain`.

    Raises:
        AlignerError: A size does not fit, or a name is unknown.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int = 10,
        depth: int = 8,
        num_heads: int = 16,
        hidden_dim: int | None = None,
        mult: int = 4,
        norm_out: Norm = "none",
        start: Start = "rms",
    ) -> None:
        super().__init__()
        dim = encoder_dim if hidden_dim is None else hidden_dim
        check_at_least(1, depth=depth, num_heads=num_heads, hidden_dim=dim, mult=mult)
        check_known("norm_out", norm_out, list(NORMS))
        check_known("start", start, get_args(Start))
        if dim % num_heads:
            raise AlignerError(f"num_heads is {num_heads}; it must divide the width, {dim}")
        self.num_tokens = num_tokens
        self.project_in = nn.Sequential(nn.Linear(encoder_dim, dim), nn.LayerNorm(dim))
        self.queries = nn.Parameter(torch.randn(num_tokens, dim))
        self.layers = nn.ModuleList(
            ReadLayer(
                dim,
                num_heads=num_heads,
                head_dim=dim // num_heads,
                mult=mult,
                bias=True,
                attends_context=False,
            )
            for _ in range(depth)
        )
        self.project_out = nn.Sequential(nn.Linear(dim, llm_dim), NORMS[norm_out](llm_dim))
        self.register_buffer("scale", torch.ones(()))
        if start == "rms":
            start_at_rms(
                self,
                self.scale,
                num_features=num_tokens,
                encoder_dim=encoder_dim,
                rms=embedding_rms,
            )

    def forward(self, features: Features) -> Tensor:
        """Read features.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.
        """
        seen = self.project_in(real_values(features))
        queries = self.queries.expand(len(seen), -1, -1)
        rows = torch.cat([queries, seen], dim=1)  # [M, Q + F, D]
        own = features.mask.new_ones(queries.shape[:2])
        mask = torch.cat([own, features.mask], dim=1)[:, None, None, :]
        for layer in self.layers:
            rows = layer(rows, None, mask)
        soft_tokens: Tensor = self.project_out(rows[:, : self.num_tokens]) * self.scale
        return soft_tokens.float()
