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
from train.errors import TrainingError

BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserState:
    """The state of an optimiser by `parameter name/key`: tensors, and other values."""

    tensors: dict[str, Tensor]
    scalars: dict[str, float | int]


def build_optimiser(model: nn.Module, stage: StageRecipe) -> torch.optim.Optimizer:
    """Build the optimiser over the parameters that train.

    Aligners and side train at `lr`, everything else that trains (LoRA) at `lora_lr`. Norms, biases
    and gates, parameters with fewer than two dimensions, have no weight decay.

    Args:
        model: Its trainable parameters are those that require a gradient.
        stage: Learning rates, weight decay and kind of optimiser.

    Returns:
        An optimiser whose groups hold their full rate as `peak_lr`.
    """
    groups = _groups(model, stage)
    if stage.optimizer == "paged_adamw_8bit":
        return paged_adamw_8bit(groups, betas=BETAS)
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


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> tuple[float, float]:
    """Set every group's learning rate to a share of its peak; returns the first's and the last's.

    Aligners come first, LoRA last.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
    return float(optimiser.param_groups[0]["lr"]), float(optimiser.param_groups[-1]["lr"])


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


def _groups(model: nn.Module, stage: StageRecipe) -> list[dict[str, Any]]:
    """The groups: aligners and the rest, with and without weight decay."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trainable:
        raise TrainingError(
            f"nothing trains in stage {stage.name!r}; list modalities of the model, "
            "or use kind: instruct with model.lora"
        )
    ours = ("aligners.", "side.")
    aligners = [p for name, p in trainable if name.startswith(ours)]
    others = [p for name, p in trainable if not name.startswith(ours)]
    lora_lr = stage.lr if stage.lora_lr is None else stage.lora_lr
    groups = [
        *_decay_groups(aligners, lr=stage.lr, weight_decay=stage.weight_decay),
        *_decay_groups(others, lr=lora_lr, weight_decay=stage.weight_decay),
    ]
    return [group for group in groups if group["params"]]


def _decay_groups(
    parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Split parameters into those that decay and those that do not."""
    common = {"lr": lr, "peak_lr": lr}
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay, **common},
        {"params": vectors, "weight_decay": 0.0, **common},
    ]
