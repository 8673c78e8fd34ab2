"""The weights of a model by name, as rules for what trains see them.

Does not choose among them (see `rules.py`).
"""

import re
from dataclasses import dataclass

from torch import nn

from anymal.errors import RecipeError
from anymal.trainable.rules import Kind, Weight, part_of

# What wraps a checkpoint's own model, and peft's layers around its layers.
_WRAPPED = re.compile(r"^(llm|encoders\.[^.]+)\.model\.")
_ROUNDED = {"nf4": "4-bit", "int8": "8-bit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCount:
    """Parameters of one part of the model.

    Attributes:
        part: Its name.
        trainable: Parameters that train.
        total: All of them; packed 4-bit weights count as stored.
    """

    part: str
    trainable: int
    total: int


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


def count_parts(model: nn.Module) -> list[PartCount]:
    """Count the parameters of every part of a model, and those that train.

    Args:
        model: `AnyMAL`.

    Returns:
        A row for every part that has any, LoRA's apart.
    """
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        part = "lora" if ".lora_" in name and name.startswith("llm.") else part_of(name)
        parts.setdefault(part, []).append(parameter)
    return [
        PartCount(
            part=part,
            trainable=sum(p.numel() for p in parameters if p.requires_grad),
            total=sum(p.numel() for p in parameters),
        )
        for part, parameters in parts.items()
    ]


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
