"""The optimiser of a stage, its learning rates, and its state as plain tensors.

Does not decide what trains (the model does) and does not compute gradients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from anymal.llm.precision import paged_adamw_8bit
from anymal.recipe.schema import StageRecipe
from anymal.recipe.trains import TrainRule
from anymal.trainable.rules import LORA, match
from anymal.trainable.weights import weights_of
from train.copying_adamw import CopyingAdamW
from train.errors import TrainingError

BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserState:
    """The state of an optimiser by `parameter name/key`: tensors, and other values."""

    tensors: dict[str, Tensor]
    scalars: dict[str, float | int]


def build_optimiser(
    model: nn.Module, stage: StageRecipe, rules: Sequence[TrainRule]
) -> torch.optim.Optimizer:
    """Build the optimiser over the parameters that train.

    Each trains at the rate of the first rule that matches it. Parameters with fewer than two
    dimensions, such as norms, biases and gates, have no weight decay.

    Args:
        model: Its trainable parameters are those that require a gradient.
        stage: Weight decay and kind of optimiser.
        rules: What trains; one without a rate takes the stage's.

    Returns:
        An optimiser whose groups hold their full rate as `peak_lr`, and the pattern of their rule
        as `what`.

    Raises:
        TrainingError: Nothing trains, or the optimiser cannot train it.
    """
    groups = _groups(model, stage, rules)
    held = {p.dtype for group in groups for p in group["params"]}
    is_short = held != {torch.float32}
    if stage.optimizer == "paged_adamw_8bit":
        if is_short:
            raise TrainingError(
                f"stages.{stage.name}.optimizer: paged_adamw_8bit rounds each step to bfloat16, "
                "where a small one is lost; set optimizer: adamw, which keeps float32 copies of "
                "weights that train in bfloat16, or set model.llm.precision to fp32"
            )
        return paged_adamw_8bit(groups, betas=BETAS)
    if is_short:
        return CopyingAdamW(groups, betas=BETAS)
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def rate_factor(step: int, *, steps: int, warmup_steps: int, min_ratio: float) -> float:
    """The share of the peak learning rate for one step.

    Rises linearly over `warmup_steps`, then falls along half a cosine to `min_ratio`.

    Args:
        step: Step about to be taken, from 0.
        steps: Steps of the stage.
        warmup_steps: Steps until the peak.
        min_ratio: Share that the cosine ends at.

    Returns:
        A factor in (0, 1].
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> tuple[float, float | None]:
    """Set every group's learning rate to a share of its peak.

    Returns:
        The rate of the first rule, and that of LoRA where a rule of its own trains it.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
    lora = [group["lr"] for group in optimiser.param_groups if group["what"] == LORA]
    return float(optimiser.param_groups[0]["lr"]), lora[0] if lora else None


def optimiser_state(optimiser: torch.optim.Optimizer, model: nn.Module) -> OptimiserState:
    """Copy the optimiser's state to the CPU, by names of parameters."""
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, float | int] = {}
    for parameter, state in optimiser.state.items():
        for key, value in state.items():
            name = f"{names[parameter]}/{key}"
            if isinstance(value, Tensor):
                tensors[name] = value.detach().to("cpu", copy=True)
            else:
                scalars[name] = value
    return OptimiserState(tensors=tensors, scalars=scalars)


def load_optimiser_state(
    optimiser: torch.optim.Optimizer, model: nn.Module, state: OptimiserState
) -> None:
    """Put a saved state back into a freshly built optimiser.

    Raises:
        TrainingError: The state names a parameter that does not train here.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[p] for group in optimiser.param_groups for p in group["params"]]
    numbers = {name: number for number, name in enumerate(ordered)}
    by_number: dict[int, dict[str, Any]] = {}
    saved: Mapping[str, Any] = {**state.tensors, **state.scalars}
    for full_name, value in saved.items():
        name, _, key = full_name.rpartition("/")
        if name not in numbers:
            raise TrainingError(
                f"the checkpoint has an optimiser state of {name!r}, which does not train in this "
                "run; resume with the recipe that the run was started with"
            )
        by_number.setdefault(numbers[name], {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": by_number, "param_groups": groups})


def _groups(
    model: nn.Module, stage: StageRecipe, rules: Sequence[TrainRule]
) -> list[dict[str, Any]]:
    """A group for each rule, and for those of its parameters that decay and those that do not."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise TrainingError(
            f"nothing trains in stage {stage.name!r}; list modalities of the model, "
            "use kind: instruct with model.lora, or give rules as trains"
        )
    chosen = match(weights_of(model), [rule.what for rule in rules])
    assert parameters.keys() <= chosen.keys(), sorted(parameters.keys() - chosen.keys())
    groups = []
    for number, rule in enumerate(rules):
        own = [p for name, p in parameters.items() if chosen[name] == number]
        rate = rule.lr or stage.lr
        common = {"lr": rate, "peak_lr": rate, "what": rule.what}
        matrices, vectors = [p for p in own if p.ndim >= 2], [p for p in own if p.ndim < 2]
        groups += [
            {"params": matrices, "weight_decay": stage.weight_decay, **common},
            {"params": vectors, "weight_decay": 0.0, **common},
        ]
    return [group for group in groups if group["params"]]
