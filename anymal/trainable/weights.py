"""The weights of a model by name, as rules for what trains see them.

Does not choose among them (see `rules.py`).
"""

import re

from torch import nn

from anymal.errors import RecipeError
from anymal.trainable.rules import Kind, Weight

# What wraps a checkpoint's own model, and peft's layers around its layers.
_WRAPPED = re.compile(r"^(llm|encoders\.[^.]+)\.model\.")
_ROUNDED = {"nf4": "4-bit", "int8": "8-bit"}


def weights_of(module: nn.Module, place: str = "") -> dict[str, Weight]:
    """Describe the weights of a model or of a part of it.

    Args:
        module: The model.
        place: What stands before its names, such as `llm.model.`.

    Returns:
        Its parameters by name, those that are shared once.
    """
    kinds = _norms(module)
    return {
        f"{place}{name}": Weight(
            name=rule_name(f"{place}{name}"),
            size=parameter.numel(),
            kind=_kind(f"{place}{name}", is_norm=name in kinds),
        )
        for name, parameter in module.named_parameters()
    }


def rule_name(name: str) -> str:
    """How rules call a parameter of `AnyMAL`: as in the checkpoint, behind the model's part."""
    return _WRAPPED.sub(r"\1.", without_adapters(name))


def without_adapters(name: str) -> str:
    """The name of a parameter as it is where no LoRA stands beside its layer."""
    return name.replace(".base_layer.", ".")


def check_can_train(name: str, parameter: nn.Parameter, *, pattern: str, precision: str) -> None:
    """Refuse a weight that cannot take a step.

    Args:
        name: Of the parameter.
        parameter: Of a model.
        pattern: The rule that chose it.
        precision: How the language model is held.

    Raises:
        RecipeError: It is quantised.
    """
    if parameter.is_floating_point():
        return
    raise RecipeError(
        f"trains: {pattern!r} matches {rule_name(name)}, which is held in {precision}: a "
        f"{_ROUNDED.get(precision, 'rounded')} weight cannot take a step; train llm.lora (with "
        "model.lora) instead, or set model.llm.precision to bf16 or fp32"
    )


def _norms(module: nn.Module) -> set[str]:
    """Names of the parameters of norms, whatever class they have."""
    return {
        f"{place}.{name}" if place else name
        for place, each in module.named_modules()
        if "norm" in type(each).__name__.lower()
        for name, _ in each.named_parameters(recurse=False)
    }


def _kind(name: str, *, is_norm: bool) -> Kind:
    """What a parameter is inside the language model."""
    if not name.startswith("llm."):
        return "weight"
    if ".lora_" in name:
        return "lora"
    if is_norm:
        return "norm"
    return "bias" if name.endswith(".bias") else "weight"
