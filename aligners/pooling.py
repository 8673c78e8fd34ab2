"""Any number of features to a fixed number, by averages over even stretches.

Does not learn anything.

Shapes: M media items, F features per item, Q positions, D width.
"""

import torch
from torch import Tensor


def pool_features(values: Tensor, mask: Tensor, num_positions: int) -> Tensor:
    """Average the real features of each item down, or repeat them up, to a fixed number.

    Equals `adaptive_avg_pool1d` over the real features of each item.

    Args:
        values: `[M, F, D]` float, finite everywhere.
        mask: `[M, F]` bool, True where a feature is real.
        num_positions: Q.

    Returns:
        `[M, Q, D]`; zero for an item without any real feature.
    """
    rank = (mask.cumsum(dim=1) - 1)[:, None, :]  # [M, 1, F], place among the real ones
    count = mask.sum(dim=1)[:, None, None]  # [M, 1, 1]
    place = torch.arange(num_positions, device=values.device)[None, :, None]  # [1, Q, 1]
    first = place * count // num_positions
    last = ((place + 1) * count + num_positions - 1) // num_positions
    chosen = mask[:, None, :] & (rank >= first) & (rank < last)  # [M, Q, F]
    weights = chosen.to(values.dtype)
    return (weights @ values) / weights.sum(dim=-1, keepdim=True).clamp(min=1)
