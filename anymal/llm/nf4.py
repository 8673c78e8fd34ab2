"""Rounding to NF4 on a CPU: the codes of bitsandbytes, bit for bit, by a table instead of a search.

The source of the format is QLoRA (Dettmers et al. 2023, section 3 and appendix E). bitsandbytes
searches among the 15 midpoints between two codes for every weight, about 90 ns each on one core.
Here a cell of equal width holds at most one midpoint, so that one look-up and one comparison are
enough. Does not hold weights, compute with them, or round the block scales a second time; those are
bitsandbytes' own layers and functions, which call what is installed here.

Shapes: N weights, in blocks of `blocksize`.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

_CODES = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_HALF = 127.5  # [-1, 1] to cells 0 to 255, narrower than the distance of any two midpoints
_SMALLEST = 1e-38  # of a block's scale as it divides, so that zeros stay zeros
_AT_ONCE = 2**17  # weights; what is made of them on the way stays in a core's cache


@cache
def take_place() -> Any:
    """Make bitsandbytes' operator `quantize_4bit` round NF4 on a CPU by `round_to_nf4`.

    Returns:
        What keeps the operator so; it stays until the process ends.
    """
    own: Any = torch.library.Library("bitsandbytes", "IMPL")  # type: ignore[no-untyped-call]
    own.impl("quantize_4bit", _quantize_4bit, "CPU")
    return own


def round_to_nf4(weights: Tensor, blocksize: int) -> tuple[Tensor, Tensor]:
    """Round weights as bitsandbytes 0.50 does on a CPU.

    Args:
        weights: `[...]` float32, bfloat16 or float16, on the CPU.
        blocksize: An even number; the last block may be shorter.

    Returns:
        Codes `[ceil(N / 2), 1]` uint8, the first weight of two in the high bits; and the largest
        size in each block, `[ceil(N / blocksize)]` float32.
    """
    flat = weights.reshape(-1)
    whole = flat.numel() // blocksize * blocksize
    scales = torch.empty(-(-flat.numel() // blocksize))
    packed = torch.empty(-(-flat.numel() // 2), dtype=torch.uint8)
    step = max(_AT_ONCE // blocksize, 1) * blocksize
    for start in range(0, whole, step):
        part = flat[start : min(start + step, whole)].float().view(-1, blocksize)
        blocks = slice(start // blocksize, start // blocksize + len(part))
        torch.amax(part.abs(), dim=-1, out=scales[blocks])
        factors = 1 / scales[blocks].clamp(min=_SMALLEST)
        scaled = (part * factors[:, None]).view(-1)
        codes = _codes(scaled, is_finite=bool(scales[blocks].isfinite().all()))
        packed[start // 2 : (start + part.numel()) // 2] = _packed(codes)
    if whole < flat.numel():  # which bitsandbytes divides, and whose scale it does not leave at 0
        part = flat[whole:].float()
        scales[-1] = part.abs().amax().clamp(min=_SMALLEST)
        scaled = torch.nn.functional.pad(part / scales[-1], (0, part.numel() % 2))
        packed[whole // 2 :] = _packed(_codes(scaled, is_finite=bool(scales[-1].isfinite())))
    return packed[:, None], scales


def _quantize_4bit(
    weights: Tensor, blocksize: int, quant_type: str, quant_storage: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The operator; everything but NF4 in bytes goes to bitsandbytes' own kernel."""
    if quant_type == "nf4" and quant_storage == torch.uint8:
        return round_to_nf4(weights, blocksize)
    own: Any = torch.ops.bitsandbytes.quantize_4bit.default
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    result: tuple[Tensor, Tensor] = own._op_dk(key, weights, blocksize, quant_type, quant_storage)
    return result


def _codes(scaled: Tensor, *, is_finite: bool) -> Tensor:
    """How many midpoints are below each of `[N]` float32 numbers of -1 to 1, `[N]` uint8."""
    midpoints, below, inside = _tables()
    if not is_finite:  # infinities and what is no number have no cell
        return torch.bucketize(scaled, midpoints, out_int32=True).to(torch.uint8)
    cells = _cells(scaled)
    codes = below.index_select(0, cells)
    codes += (scaled > inside.index_select(0, cells)).view(torch.uint8)
    return codes


def _cells(scaled: Tensor) -> Tensor:
    """The cell of each number, `[N]` int32. It never falls as the number grows: that is enough."""
    return (scaled * _HALF).add_(_HALF).to(torch.int32)


@cache
def _tables() -> tuple[Tensor, Tensor, Tensor]:
    """The midpoints; of each cell, how many are in cells below it; and the one inside, or infinity.

    A midpoint in a lower cell is less than the number, one in a higher cell is more.
    """
    codes = torch.tensor(_CODES)
    midpoints = (codes[:-1] + codes[1:]) / 2
    cells = _cells(midpoints)
    number = int(2 * _HALF) + 1
    below = torch.searchsorted(cells, torch.arange(number, dtype=torch.int32)).to(torch.uint8)
    inside = torch.full((number,), torch.inf)
    inside[cells.long()] = midpoints
    return midpoints, below, inside


def _packed(codes: Tensor) -> Tensor:
    """Two codes in a byte: `[N]` to `[N / 2]` uint8."""
    pairs = codes.view(torch.int16)  # little-endian: the first code is in the low byte
    return ((pairs << 4) | (pairs >> 8)).to(torch.uint8)
