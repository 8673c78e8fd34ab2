"""Any Hugging Face causal language model, frozen, at four precisions, with LoRA on top.

Does not know media, chat or training; it is the one importer of bitsandbytes and peft.

Precision policy. Frozen weights are held as `nf4` (bitsandbytes NF4, blocks of 64, double
quantisation), `int8` (bitsandbytes LLM.int8), `bf16` or `fp32`; the embedding table and the output
head are never quantised. Everything not quantised, and all computing, is float32 on a CPU and
bfloat16 on CUDA, except that `fp32` is float32 and `bf16` is bfloat16 everywhere. Aligners and LoRA
are float32. Soft tokens become the embeddings' dtype in `anymal.fusion` and nowhere else; the loss
is float32. For answering only, `merge_lora.py` turns such a model into one without LoRA, held as
`fp32`, `bf16` or `int8-dynamic` (`dynamic_int8.py`).

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from anymal.errors import RecipeError
from anymal.llm.causal_lm import ADAPTER, LLM

Precision = Literal["nf4", "int8", "bf16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters.

    Attributes:
        r: Rank.
        alpha: Their scale is alpha / r.
        dropout: Probability on their input.
        targets: Module names, or `all-linear` for all but the output head.
    """

    r: int = 64
    alpha: int = 16
    dropout: float = 0.0
    targets: str | Sequence[str] = "all-linear"


def load_llm(
    path: str,
    *,
    precision: Precision,
    device: torch.device | str = "cpu",
    lora: LoraOptions | None = None,
    revision: str | None = None,
) -> LLM:
    """Load a language model and its tokeniser.

    Args:
        path: Hub id or folder in Hugging Face's format.
        precision: How its weights are held.
        device: Where it goes.
        lora: Adapters to attach; they start switched off.
        revision: Hub revision.

    Returns:
        The frozen model, in eval mode.

    Raises:
        RecipeError: There is no such model, it cannot be held at that precision, or its own
            forward computes more than `LLM` does.
    """
    device = torch.device(device)
    dtype = compute_dtype(precision, device)
    # Otherwise transformers asks on the terminal whether a model's own code may run.
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    arguments: dict[str, Any] = {"dtype": dtype, **source}
    if precision in ("nf4", "int8"):
        import_bitsandbytes()
        arguments["quantization_config"] = _quantisation(precision, dtype)
    try:
        with without_progress():
            tokenizer = AutoTokenizer.from_pretrained(path, **source)
            model: Any = AutoModelForCausalLM.from_pretrained(
                path, device_map={"": device}, **arguments
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RecipeError(
            f"cannot load the language model {path!r} as {precision}: {error}; "
            "give the Hub id or folder of a causal language model in Hugging Face's format"
        ) from error
    _keep_packing(model)
    assert type(model.get_output_embeddings()) is nn.Linear, "the output head must stay as it is"
    tuner = None if lora is None else attach_lora(model, lora)
    llm = LLM(model, tokenizer, precision=precision, tuner=tuner)
    _check_arguments(llm, path)
    _check_scores(llm, path)
    return llm


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


def dequantised(layer: nn.Module) -> Tensor:
    """The weight that a layer computes with.

    Args:
        layer: With a `weight`, quantised by bitsandbytes or not.

    Returns:
        The weight in float, of the layer's shape.
    """
    import_bitsandbytes()  # as in attach_lora
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer).detach()


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

    Returns:
        The module.
    """
    with _without_kernels():
        import bitsandbytes

    return bitsandbytes


def attach_lora(model: Any, lora: LoraOptions) -> Any:
    """Put adapters beside a model's linear layers, in place.

    Args:
        model: A transformers causal model, quantised or not.
        lora: The adapters.

    Returns:
        peft's view of them, for `LLM`.

    Raises:
        RecipeError: They fit no layer.
    """
    import_bitsandbytes()  # peft imports it, and would do so without care
    import peft

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    try:
        tuner = peft.LoraModel(model, config, ADAPTER)
    except ValueError as error:
        raise RecipeError(f"cannot attach LoRA to {targets!r}: {error}") from error
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    return tuner


def _check_arguments(llm: LLM, path: str) -> None:
    """Refuse a model that cannot read media, or would forget all but the last word it said."""
    name = f"the language model {path!r} ({llm.model.config.model_type})"
    if not llm.takes_embeddings:
        raise RecipeError(f"{name} reads no embeddings, only words; use another model")
    if not llm.takes_cache:
        raise RecipeError(
            f"{name} keeps what it has read in another form than keys and values; use a model with "
            "attention, such as Llama"
        )


def _check_scores(llm: LLM, path: str) -> None:
    """Refuse a model whose scores would be wrong: some scale words in ways of their own."""
    ids = torch.arange(4, device=llm.device)[None] * 7 % llm.vocab_size
    positions = torch.arange(4, device=llm.device)[None]
    with torch.no_grad():
        own = llm.model(input_ids=ids).logits[0].float()
        ours = llm.head(llm.decode(llm.embed(ids), positions=positions)[0])
    error = float((ours - own).norm() / own.norm())
    if not error <= (1e-3 if llm.precision == "fp32" else 0.05):
        raise RecipeError(
            f"the language model {path!r} ({llm.model.config.model_type}) scores words differently "
            f"when it reads embeddings: its logits differ by {error:.1g} of their size; "
            "use another model"
        )


def _keep_packing(model: nn.Module) -> None:
    """Switch off what NOTE (b) above describes, in every 4-bit layer."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # a plain bool


def _quantisation(precision: Precision, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Quantisation settings for transformers, which leaves the output head alone by default."""
    if precision == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers ships it untyped
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


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


@contextmanager
def without_progress() -> Iterator[None]:
    """Keep transformers from drawing its own progress bars."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
