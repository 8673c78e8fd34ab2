"""Rounds a weight matrix to 8 or 4 bits so that the squared error is small.

Knows no kernel and no layer (see `weight_only.py`), and no data: it looks at the weights alone.

Shapes: N outputs, K inputs, G groups of `GROUP` inputs in a row.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

GROUP = 32  # inputs that share a scale at 4 bits
_LARGEST_8_BITS, _LARGEST_4_BITS = 127, 15
MIDDLE = 8  # the code whose value is a group's offset
_FITS = 2  # of scale and offset to the codes
_TINIEST = 1e-30  # instead of the scale of zeros
_AT_ONCE = 2**18  # numbers that are rounded together, so that they stay in the processor's cache


def rounded_to_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """One scale for each output; symmetric.

    Args:
        weight: `[N, K]` float.

    Returns:
        Codes `[N, K]` int8 and scales `[N]` bfloat16; the value is code times scale.
    """
    codes = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight), dtype=torch.bfloat16)
    for rows in _slices(weight):
        part = weight[rows].float()
        largest = part.abs().amax(1)
        scales[rows] = (largest / _LARGEST_8_BITS).clamp_min_(_TINIEST)
        steps = (part / scales[rows].float()[:, None]).round_()
        codes[rows] = steps.clamp_(-_LARGEST_8_BITS, _LARGEST_8_BITS)
    return codes, scales


def rounded_to_4_bits(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One scale and one offset for each group of inputs of each output.

    They start from the least and the largest weight of the group, and are then fitted to the codes
    by least squares, as in llama.cpp's `make_qkx2_quants`.

    Args:
        weight: `[N, K]` float; K is a multiple of `GROUP`.

    Returns:
        Codes `[N, K]` uint8 from 0 to 15, scales and offsets, each `[N, G]` bfloat16; the value is
        (code - 8) times the scale plus the offset.
    """
    num_rows, width = weight.shape
    codes = torch.empty(num_rows, width, dtype=torch.uint8)
    scales = torch.empty(num_rows, width // GROUP, dtype=torch.bfloat16)
    offsets = torch.empty_like(scales)
    for rows in _slices(weight):
        part = weight[rows].float().view(-1, width // GROUP, GROUP)
        least, most = part.aminmax(dim=-1, keepdim=True)
        scale = (most - least).div_(_LARGEST_4_BITS).clamp_min_(_TINIEST)
        offset = least + MIDDLE * scale
        for _ in range(_FITS):
            steps = _nearest(part, scale, offset)
            scale, offset = _fitted(part, steps, scale)
        scale, offset = scale.bfloat16(), offset.bfloat16()
        scales[rows], offsets[rows] = scale[..., 0], offset[..., 0]
        steps = _nearest(part, scale.float(), offset.float()).add_(MIDDLE)
        codes[rows] = steps.view(-1, width).to(torch.uint8)
    return codes, scales, offsets


def _slices(weight: Tensor) -> Iterator[slice]:
    """Rows of a matrix, some at a time."""
    num_rows, width = weight.shape
    step = max(1, _AT_ONCE // width)
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _nearest(part: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """The codes nearest to some weights, less `MIDDLE`."""
    steps = (part - offset).div_(scale).round_()
    return steps.clamp_(-MIDDLE, _LARGEST_4_BITS - MIDDLE)


def _fitted(part: Tensor, steps: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and offset of least squares for given codes; a group of one code keeps its scale."""
    mean_step, mean = steps.mean(-1, keepdim=True), part.mean(-1, keepdim=True)
    centred = steps - mean_step
    variance = centred.square().sum(-1, keepdim=True)
    scale = (centred.mul_(part)).sum(-1, keepdim=True) / variance
    scale = torch.where(scale > _TINIEST, scale, before)  # also where it is not a number
    return scale, mean - mean_step * scale
