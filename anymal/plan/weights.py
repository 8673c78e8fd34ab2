"""How many bytes frozen weights take at each precision.

Follows bitsandbytes' layout (NF4 with double quantisation: QLoRA, section 3) and the precisions of
`anymal.llm.precision`.
"""

from math import ceil

from anymal.plan.device import Device, DeviceType
from anymal.plan.language_model import LanguageModel
from anymal.recipe.schema import Precision

_BLOCK, _BLOCK_OF_BLOCKS = 64, 256
# Of each matrix: the 16 and the 256 levels that codes stand for, and the mean of the scales.
_NF4_TABLES = 4 * (16 + 256 + 1)


def compute_bytes(precision: Precision, device: DeviceType) -> int:
    """Bytes of one number of the hidden states; see `anymal.llm.precision.compute_dtype`."""
    if precision in ("fp32", "bf16"):
        return 4 if precision == "fp32" else 2
    return 2 if device == "cuda" else 4


def matrix_bytes(rows: int, columns: int, precision: Precision) -> int:
    """Bytes of one frozen matrix.

    Args:
        rows: Width of its output.
        columns: Width of its input.
        precision: How it is held.

    Returns:
        Bytes, scales included.
    """
    count = rows * columns
    if precision == "nf4":
        blocks = ceil(count / _BLOCK)
        return ceil(count / 2) + blocks + 4 * ceil(blocks / _BLOCK_OF_BLOCKS) + _NF4_TABLES
    if precision == "int8":
        return count + 4 * rows
    return count * (4 if precision == "fp32" else 2)


def llm_bytes(llm: LanguageModel, precision: Precision, device: Device) -> int:
    """Bytes of the whole language model; what is not quantised is held in the dtype it computes in.

    Args:
        llm: Its sizes.
        precision: How its matrices are held.
        device: Where. Of shards, each holds a part of the codes of NF4, and all of their scales;
            two layers are whole there at a time, the one that runs and the one that comes next.

    Returns:
        Bytes on one device.
    """
    matrices = sum(matrix_bytes(linear.out_dim, linear.in_dim, precision) for linear in llm.linears)
    others = llm.num_parameters - llm.num_linear_weights
    whole = matrices + others * compute_bytes(precision, device.type)
    if device.shards == 1:
        return whole
    codes = sum(ceil(linear.num_weights / 2) for linear in llm.linears)
    return whole - codes + ceil(codes / device.shards) + 2 * ceil(codes / llm.num_layers)


def scratch_bytes(llm: LanguageModel, precision: Precision, device: DeviceType) -> int:
    """Bytes of the largest matrix unpacked to compute with; 0 where nothing is quantised.

    NOTE: the scales are unpacked first, so they count as well.
    """
    if precision not in ("nf4", "int8"):
        return 0
    largest = max(linear.num_weights for linear in llm.linears)
    scales = 4 * largest // _BLOCK if precision == "nf4" else 0
    return largest * compute_bytes(precision, device) + scales
