"""Where features and queries stand in a picture: fixed waves over rows and columns, no weights.

Does not add them to anything.

Shapes: R rows, C columns, F features, M media items, D width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from aligners.limits import AlignerError
from encoders.base import Layout

_SLOWEST = 10000.0  # of the wavelengths, over 2 pi


def waves_2d(side: int, dim: int) -> Tensor:
    """Sines and cosines of a square grid, as MAE and Qwen-VL lay them out.

    The first half of D tells the column, the second the row; each has its sines before its cosines.

    Args:
        side: Rows, and columns.
        dim: D, a multiple of 4.

    Returns:
        `[side * side, D]` float32, row by row.

    Raises:
        AlignerError: D is not a multiple of 4.
    """
    if dim % 4:
        raise AlignerError(f"positions: sincos2d needs a width that 4 divides, not {dim}")
    speeds = _SLOWEST ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * speeds
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, D / 2]
    columns = line[None, :, :].expand(side, -1, -1)
    rows = line[:, None, :].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).flatten(0, 1).float()


def side_of_square(num_places: int) -> int:
    """The side of a square grid.

    Args:
        num_places: Of the grid.

    Raises:
        AlignerError: It is no square.
    """
    side = math.isqrt(num_places)
    if side * side != num_places:
        raise AlignerError(
            f"positions: sincos2d lays the queries out as a square, and num_tokens is {num_places}"
        )
    return side


def places_of(waves: Tensor, layouts: Sequence[Layout] | None, mask: Tensor) -> Tensor:
    """The waves of features, stretched from the queries' grid to each item's own.

    Args:
        waves: `[side * side, D]`.
        layouts: Of each item.
        mask: `[M, F]` bool, True where a feature is real.

    Returns:
        `[M, F, D]`; outside the mask they mean nothing.

    Raises:
        AlignerError: Features stand in no rows.
    """
    if layouts is None or any(layout.before or not layout.rows for layout in layouts):
        raise AlignerError(
            "positions: sincos2d needs an encoder that tells the rows and columns of its features, "
            "without a class token (drop_cls: true)"
        )
    side = side_of_square(len(waves))
    grid = waves.T.reshape(1, -1, side, side)
    known: dict[Layout, Tensor] = {}
    for layout in set(layouts):
        size = (layout.rows, layout.columns)
        is_same = size == (side, side)
        own = grid if is_same else F.interpolate(grid, size=size, mode="bicubic")
        known[layout] = own[0].flatten(1).T.repeat(layout.views, 1)  # [count, D]
    each = pad_sequence([known[layout] for layout in layouts], batch_first=True)
    rank = (mask.cumsum(dim=1) - 1).clamp(min=0)  # place among the real ones
    return each.gather(1, rank[..., None].expand(-1, -1, waves.shape[1]))
