"""Projections of the sizes that these tests use, and features for them."""

from typing import Any

import torch

from aligners.projection import Projection
from encoders.base import Features, Layout


def projection(**options: Any) -> Projection:
    sizes: dict[str, Any] = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 0.5}
    plain = {"num_tokens": None, "norm": "none", "start": "plain"}
    return Projection(**(sizes | plain | options))


def of(values: torch.Tensor, *layouts: Layout) -> Features:
    """Features without gaps."""
    return Features(
        values=values,
        mask=torch.ones(values.shape[:2], dtype=torch.bool),
        steps=torch.zeros(values.shape[:2], dtype=torch.int64),
        layouts=layouts or None,
    )
