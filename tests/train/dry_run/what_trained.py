"""Which weights each stage of a run changed, by name, compared bit for bit.

Does not know rules: it looks at the model before and after a stage.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def watching(train_stage: Callable[..., int], seen: dict[str, dict[str, bool]]) -> Any:
    """Training of a stage that also notes which tensors of the model changed in it.

    Args:
        train_stage: `train.stage.train_stage`.
        seen: Gets, for each stage by name, whether each tensor is another one afterwards.
    """

    def watched(run: Any, number: int, checkpoint: Any) -> int:
        model = run.assembled.model
        before = {name: tensor.cpu().clone() for name, tensor in tensors(model).items()}
        done = train_stage(run, number, checkpoint)
        after = tensors(model)
        assert before.keys() == after.keys()
        seen[run.recipe.stages[number].name] = {
            name: not torch.equal(tensor, after[name].cpu()) for name, tensor in before.items()
        }
        return done

    return watched


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, those that are shared once."""
    return {
        name: tensor.detach()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }


def parts(names: Mapping[str, bool]) -> set[str]:
    """The parts of a model that names of changed tensors are in.

    Args:
        names: Whether each changed.
    """
    return {_part(name) for name, changed in names.items() if changed}


def _part(name: str) -> str:
    """`aligners.image`, `encoders.image`, `lora`, `norms`, `biases`, `llm`, `extra_tokens`..."""
    if ".lora_" in name:
        return "lora"
    first, second, *_ = name.split(".")
    if first == "llm" and "norm" in name:
        return "norms"
    if first == "llm":
        return "biases" if name.endswith(".bias") else "llm"
    return f"{first}.{second}" if first in ("aligners", "encoders") else first
