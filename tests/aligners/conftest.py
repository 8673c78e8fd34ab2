"""Features to align."""

from collections.abc import Callable

import pytest
import torch

from encoders.base import Features


@pytest.fixture
def make_features() -> Callable[..., Features]:
    """Random features, the last items with fewer real ones: `make_features(3, 10, 8)`."""

    def make(num_items: int, num_features: int, dim: int, *, has_gaps: bool = True) -> Features:
        mask = torch.ones(num_items, num_features, dtype=torch.bool)
        if has_gaps:
            for item in range(1, num_items):
                mask[item, num_features - 2 * item :] = False
                mask[item, 1] = False
        values = torch.randn(num_items, num_features, dim).masked_fill(~mask[..., None], 0.0)
        steps = torch.arange(num_features).expand(num_items, -1)
        return Features(values=values, mask=mask, steps=steps)

    return make
