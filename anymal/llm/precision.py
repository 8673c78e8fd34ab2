"""At which precision a language model's weights are held and computed with.

Does not load a model or adapt it; it is the one importer of bitsandbytes.

Frozen weights are held as `nf4` (bitsandbytes NF4, blocks of 64, double quantisation), `int8`
(bitsandbytes LLM.int8), `bf16` or `fp32`; the embedding table and the output head are never
quantised. Everything not quantised, and all computing, is float32 on a CPU and bfloat16 on CUDA,
except that `fp32` is float32 and `bf16` is bfloat16 everywhere. Aligners and LoRA are float32. Soft
tokens become the embeddings' dtype in `anymal.fusion` and nowhere else; the loss is float32. For
answering only, `merge_lora.py` turns such a model into one without LoRA, held as `fp32`, `bf16`, or
in 8 or 4 bits in another way (`weight_only.py`).

NOTE: on a CPU with AVX512-BF16, bitsandbytes 0.49 and later (a) looks for a kernel from the Hub
when it is imported, and logs a warning where there is none, and (b) repacks 4-bit weights in place
at the first call in eval mode, rounds to bfloat16 from then on, and lets no gradient through. Here
(a) is kept from happening and (b) is switched off layer by layer, so that training and answering
compute the same function and frozen weights stay bit for bit what they were. LLM.int8 works on a
CPU too, forward and backward; its activations pass through float16, which it logs at every call and
which is silenced here.
"""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from anymal.llm.nf4 import take_place

Precision = Literal["nf4", "int8", "bf16", "fp32"]

# What importing changes, the table of modules and torch's of operators, is the whole process's.
_IMPORTING = threading.Lock()


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of everything that is not quantised, by the policy above.

    Args:
        precision: How the weights are held.
        device: Where they are.

    Returns:
        Of embeddings, norms and hidden states.
    """
    if precision in ("fp32", "bf16"):
        return torch.float32 if precision == "fp32" else torch.bfloat16
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def quantisation(precision: Precision, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """Quantisation settings for transformers, which leaves the output head alone by default.

    Args:
        precision: How weights are to be held.
        dtype: What they are to be computed in.

    Returns:
        The settings; None for a precision that is not quantised.
    """
    if precision not in ("nf4", "int8"):
        return None
    import_bitsandbytes()
    if precision == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers ships it untyped
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_packing(model: nn.Module) -> None:
    """Switch off what NOTE (b) above describes, in every 4-bit layer.

    Args:
        model: Changed in place.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # a plain bool


def paged_adamw_8bit(
    groups: Sequence[dict[str, Any]], *, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    """AdamW whose state is 8-bit and may be paged out of GPU memory.

    Args:
        groups: Parameter groups.
        betas: Decay of the two moments.

    Returns:
        The optimiser.
    """
    optimiser: torch.optim.Optimizer = import_bitsandbytes().optim.PagedAdamW8bit(
        groups, betas=betas
    )
    return optimiser


def import_bitsandbytes() -> Any:
    """Import bitsandbytes without letting it look for kernels on the Hub; see NOTE (a) above.

    From then on NF4 is rounded by `anymal.llm.nf4` on a CPU, to the same bits.

    Returns:
        The module.
    """
    with _IMPORTING:
        with _without_kernels():
            import bitsandbytes

        take_place()
    return bitsandbytes


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Make `import kernels` fail, and keep the import that tries it from complaining."""
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, kernels = logger.level, sys.modules.get("kernels")
    logger.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # the documented way to block one
    try:
        yield
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if kernels is not None:
            sys.modules["kernels"] = kernels
