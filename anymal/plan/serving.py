"""What a model holds in memory while it answers with LoRA merged, at each precision for that.

Counts what stays: weights, and what the engine sets aside for keys and values. What one step
computes with, some tens of megabytes, and the interpreter with its libraries come on top. Does not
plan training (see `stage.py`).
"""

import torch

from anymal.engine.packed import default_cache_bytes
from anymal.errors import RecipeError
from anymal.llm.int4_layout import TILE
from anymal.llm.weight_only import WEIGHT_ONLY, padded
from anymal.llm.weight_rounding import GROUP
from anymal.plan.device import DeviceType
from anymal.plan.language_model import LanguageModel
from anymal.plan.stage import Parts

_FLOAT, _HALF = 4, 2


def serving_bytes(
    parts: Parts, *, precision: str, device: DeviceType, max_tokens: int
) -> dict[str, int]:
    """Bytes by name.

    Args:
        parts: Of the model.
        precision: Of the language model, LoRA merged: fp32, bf16, int8 or int4.
        device: Where it answers.
        max_tokens: Most positions of a sequence where the language model states no end.

    Returns:
        Of the language model, aligners with what stands beside the row, encoders, and keys and
        values.

    Raises:
        RecipeError: This precision is not for this device.
    """
    if device != "cpu":
        raise RecipeError(
            "answering is planned for a CPU; on CUDA, plan the training, whose weights are served"
        )
    llm = parts.llm
    number = _HALF if precision == "bf16" else _FLOAT
    position = 2 * llm.num_layers * llm.key_dim * number
    context = llm.context or max_tokens
    return {
        "llm": merged_bytes(llm, precision),
        "aligners": _FLOAT * parts.num_aligned,
        "encoders": _FLOAT * sum(each.num_parameters for each in parts.encoders.values()),
        "keys and values": default_cache_bytes(
            torch.device(device), bytes_per_sequence=context * position
        ),
    }


def merged_bytes(llm: LanguageModel, precision: str) -> int:
    """Bytes of a language model whose LoRA is merged; see `anymal.llm.merge_lora`.

    Args:
        llm: Its sizes.
        precision: fp32, bf16, int8 or int4.

    Returns:
        Bytes.
    """
    if precision not in WEIGHT_ONLY:
        return llm.num_parameters * (_HALF if precision == "bf16" else _FLOAT)
    matrices = sum(_matrix_bytes(each.out_dim, each.in_dim, precision) for each in llm.linears)
    # Rows of the table are multiplied by a factor.
    words = _matrix_bytes(llm.vocab_size, llm.embedding_dim, "int8") + _FLOAT
    num_words = llm.vocab_size * llm.embedding_dim
    if llm.has_own_head:
        words += _matrix_bytes(llm.vocab_size, llm.head_width, "int8")
        num_words += llm.vocab_size * llm.head_width
    others = llm.num_parameters - llm.num_linear_weights - num_words
    return matrices + words + others * _FLOAT


def _matrix_bytes(rows: int, columns: int, precision: str) -> int:
    """Of a matrix held in few bits, with scales and padding."""
    width = padded(columns, GROUP)
    if precision == "int8":
        return rows * width + _HALF * rows
    rows = padded(rows, TILE)
    return rows * width // 2 + 2 * _HALF * rows * (width // GROUP)
