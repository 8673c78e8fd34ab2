"""How PyTorch lays weights of 4 bits out for its kernel on a CPU, and back.

The layout differs between processors, and nothing in PyTorch tells it or undoes it; it is found by
packing numbers that say where they came from. Does not round or multiply.

Shapes: N outputs, n of them, K inputs.
"""

from functools import cache

import torch
from torch import Tensor

from anymal.errors import RecipeError
from anymal.llm.weight_rounding import GROUP

TILE = 64  # outputs that are laid out together, on the widest processors


def layout_name() -> str:
    """Tells layouts apart: packed weights fit where the name is the same."""
    lanes, order = _lanes()
    return f"int4: groups of {GROUP}, {lanes} lanes from {', '.join(map(str, order[:2].tolist()))}"


def packed_codes(codes: Tensor) -> Tensor:
    """Lay codes out.

    Args:
        codes: `[N, K]`, integers from 0 to 15; N is a multiple of `TILE`, K of `GROUP`.

    Returns:
        `[N, K / 2]` uint8.
    """
    return torch._convert_weight_to_int4pack_for_cpu(codes.int().contiguous(), 1)


def unpacked_codes(packed: Tensor) -> Tensor:
    """Undo `packed_codes`.

    Args:
        packed: `[n, K / 2]` uint8; n is a multiple of `TILE`.

    Returns:
        `[K, n]` uint8: the codes, transposed.
    """
    lanes, order = _lanes()
    num_outputs, half = packed.shape
    pairs = packed.view(num_outputs // lanes, 2 * half, lanes // 2).transpose(0, 1)
    codes = packed.new_empty(2 * half, num_outputs // lanes, lanes)
    torch.bitwise_and(pairs, 15, out=codes[..., : lanes // 2])
    torch.bitwise_right_shift(pairs, 4, out=codes[..., lanes // 2 :])
    if not torch.equal(order, torch.arange(lanes)):
        codes = codes[..., order]
    return codes.view(2 * half, num_outputs)


@cache
def _lanes() -> tuple[int, Tensor]:
    """How the packing interleaves outputs, which differs between processors; found by trying.

    Returns:
        How many outputs lie together, and for each where it is in the low halves of their bytes
        followed by the high ones.

    Raises:
        RecipeError: It is none of the layouts that are known.
    """
    numbers = torch.arange(TILE)[:, None].expand(TILE, GROUP)
    outputs, inputs = _where(numbers), _where(torch.arange(GROUP).expand(TILE, GROUP))
    for lanes in (64, 32, 16):
        shape = (TILE // lanes, GROUP, lanes // 2)
        found = torch.cat([half.view(shape) for half in outputs], -1)
        columns = torch.cat([half.view(shape) for half in inputs], -1)
        starts = torch.arange(0, TILE, lanes)[:, None, None]
        is_regular = torch.equal(found, found[:1, :1] + starts + torch.zeros_like(found))
        in_order = torch.equal(columns, torch.arange(GROUP)[None, :, None].expand_as(columns))
        if is_regular and in_order:
            return lanes, found[0, 0].argsort()
    raise RecipeError(
        f"torch {torch.__version__} lays 4-bit weights out in a way that is not known here; use "
        "int8, or the version of PyTorch in requirements.lock"
    )


def _where(numbers: Tensor) -> list[Tensor]:
    """Which of some numbers below 256 the low and the high half of each packed byte hold."""
    halves = [torch.zeros(numbers.numel() // 2, dtype=torch.long) for _ in range(2)]
    for shift in (0, 4):
        digits = numbers >> shift & 15
        packed = packed_codes(digits).flatten()
        halves[0] += (packed & 15).long() << shift
        halves[1] += (packed >> 4).long() << shift
    return halves
