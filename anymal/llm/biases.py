"""Biases for linear layers that have none: zero at first, so that nothing changes until they train.

LLaMA-Adapter V2 trains biases and norms (arXiv 2304.15010, section 3.1). Does not decide what
trains. A layer keeps its class: quantised ones add a bias as others do.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from anymal.errors import RecipeError

ALL_LINEAR = "all-linear"


def add_biases(model: Any, targets: str | Sequence[str], *, dtype: torch.dtype) -> None:
    """Give linear layers a bias, in place; those that have one keep it.

    Args:
        model: A transformers causal model, quantised or not.
        targets: Module names, or `all-linear` for all linear layers but the output head.
        dtype: What layers compute in.

    Raises:
        RecipeError: A name fits no linear layer.
    """
    head = model.get_output_embeddings()
    layers: dict[str, Any] = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }
    for target in [] if targets == ALL_LINEAR else targets:
        if not any(_is_at(name, target) for name in layers):
            known = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
            raise RecipeError(
                f"model.biases: no linear layer is named {target!r}; there are "
                f"{', '.join(known)}, or all-linear for all of them"
            )
    for name, layer in layers.items():
        if is_target(name, targets) and layer.bias is None:
            zeros = torch.zeros(layer.out_features, dtype=dtype, device=layer.weight.device)
            layer.register_parameter("bias", nn.Parameter(zeros, requires_grad=False))


def is_target(name: str, targets: str | Sequence[str]) -> bool:
    """Whether a linear layer is one of those named.

    Args:
        name: Of the layer, dotted.
        targets: As for `add_biases`.
    """
    return targets == ALL_LINEAR or any(_is_at(name, target) for target in targets)


def _is_at(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
