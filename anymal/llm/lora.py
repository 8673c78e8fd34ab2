"""LoRA beside a language model's layers, and the weights of those layers without quantisation.

Does not merge the two (see `merge_lora.py`); it is the one importer of peft.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer, its weight transposed

from anymal.errors import RecipeError
from anymal.llm.causal_lm import ADAPTER
from anymal.llm.precision import import_bitsandbytes

logger = logging.getLogger(__name__)

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters.

    Attributes:
        r: Rank.
        alpha: Their scale is alpha / r, or alpha / sqrt(r) with `use_rslora`.
        dropout: Probability on their input.
        targets: Module names, or `all-linear` for all linear layers but the output head.
        use_rslora: Rank-stabilised LoRA (arXiv 2312.03732).
        use_dora: Weight-decomposed LoRA (arXiv 2402.09353): beside the adapters, the norm of the
            weights of each output trains.
    """

    r: int = 64
    alpha: int = 16
    dropout: float = 0.0
    targets: str | Sequence[str] = ALL_LINEAR
    use_rslora: bool = False
    use_dora: bool = False


def attach_lora(model: Any, lora: LoraOptions) -> Any:
    """Put adapters beside a model's linear layers, in place; the log names experts left out.

    Args:
        model: A transformers causal model, quantised or not.
        lora: The adapters.

    Returns:
        peft's view of them, for `LLM`.

    Raises:
        RecipeError: A target fits no layer, or a layer that LoRA cannot be put beside.
    """
    import_bitsandbytes()  # peft imports it, and would do so without care
    import peft

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        target_modules=targets,
        exclude_modules=_routers(model) if targets == ALL_LINEAR else None,
    )
    try:
        with _by_its_own_names(model):
            tuner = peft.LoraModel(model, config, ADAPTER)
    except ValueError as error:
        raise _misfit(targets, " ".join(str(error).split())) from error
    named = [] if isinstance(targets, str) else targets
    adapted = tuner.targeted_module_names
    if missed := [each for each in named if not any(_is_at(name, each) for name in adapted)]:
        raise _misfit(targets, f"no layer is named {', '.join(missed)}")
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    _tell_of_experts(model)
    return tuner


@contextmanager
def _by_its_own_names(model: Any) -> Iterator[None]:
    """Keep peft from reading targets as the names that layers had in older models of this type.

    In a mixture of experts, it would otherwise wrap the experts for `down_proj`, say, and pass over
    the linear layers of that name. It knows a type by an attribute, which a plain dict lacks.
    """
    config = model.config
    model.config = config.to_dict()
    try:
        yield
    finally:
        model.config = config


@torch.no_grad()
def _routers(model: nn.Module) -> list[str] | None:
    """Names of layers that are linear by type but give a choice of experts."""
    names = []
    for name, module in model.named_modules():
        kind = type(module)
        if not isinstance(module, nn.Linear) or kind is nn.Linear:
            continue
        if kind.__module__.startswith("bitsandbytes."):
            continue
        if not isinstance(module(module.weight.new_zeros(1, module.in_features)), Tensor):
            names.append(name)
    return names or None


def _misfit(targets: str | list[str], why: str) -> RecipeError:
    return RecipeError(
        f"cannot attach LoRA to {targets!r}: {why}; name linear layers of the model under "
        "lora.targets, or all-linear for all of them"
    )


def _is_at(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _tell_of_experts(model: nn.Module) -> None:
    """Log which weights of experts LoRA cannot reach, because they are not of linear layers."""
    kinds: dict[str, int] = {}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if "expert" in f"{name} {kind}".lower() and not isinstance(module, (nn.Linear, Conv1D)):
            own = [p.numel() for p in module.parameters(recurse=False) if p.ndim > 1]
            kinds[kind] = kinds.get(kind, 0) + sum(own)
    left_out = {kind: number for kind, number in kinds.items() if number}
    if left_out:
        logger.warning(
            "LoRA leaves out the experts: the %s weights of %s are not held as linear layers, and "
            "stay frozen",
            f"{sum(left_out.values()):,}",
            ", ".join(left_out),
        )


def dequantised(layer: nn.Module) -> Tensor:
    """The weight that a layer computes with.

    Args:
        layer: With a `weight`, quantised by bitsandbytes or not; stays as it is.

    Returns:
        The weight in float, of the layer's shape.
    """
    held: Any = layer.weight
    if type(held) is nn.Parameter:  # those of bitsandbytes, slow to import, are of its own types
        return held.detach()
    import_bitsandbytes()  # as in attach_lora
    from peft.utils.integrations import dequantize_module_weight

    weight = dequantize_module_weight(layer).detach()
    layer.weight = held  # peft replaces LLM.int8's on a CPU by one that no longer computes
    return weight
