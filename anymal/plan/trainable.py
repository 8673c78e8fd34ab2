"""What trains and what that takes: LoRA's sizes, gradients and the optimiser's state.

Does not attach adapters (see `anymal.llm.lora`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from anymal.plan.language_model import LanguageModel, Linear, input_width
from anymal.recipe.lora import LoraRecipe

_FLOAT = 4
_BLOCK = 256  # of 8-bit states: one float32 scale for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Sizes of the adapters.

    Attributes:
        num_parameters: Of all of them; held in float32.
        inputs: Widths of the inputs of all adapted linear layers, which their gradients need.
        outputs: Widths of what DoRA keeps: the outputs of each of these layers, and of its adapter.
        ranks: Sum of all adapters' ranks.
    """

    num_parameters: int
    inputs: int
    outputs: int
    ranks: int

    @classmethod
    def of(cls, recipe: LoraRecipe | None, llm: LanguageModel) -> Self:
        """Compute the adapters of a recipe; without one, all sizes are 0."""
        if recipe is None:
            return cls(num_parameters=0, inputs=0, outputs=0, ranks=0)
        adapted = adapted_linears(recipe, llm)
        widths = sum(linear.out_dim for linear in adapted) if recipe.use_dora else 0
        return cls(
            num_parameters=recipe.r * sum(linear.in_dim + linear.out_dim for linear in adapted)
            + widths,
            inputs=input_width(adapted),
            outputs=2 * widths,
            ranks=recipe.r * len(adapted),
        )


def adapted_linears(recipe: LoraRecipe, llm: LanguageModel) -> list[Linear]:
    """The linear layers that adapters stand beside."""
    return [linear for linear in llm.linears if _is_target(linear, recipe.targets)]


def gradient_bytes(num_trainable: int) -> int:
    """Bytes of the gradients, in float32."""
    return _FLOAT * num_trainable


def optimiser_bytes(num_trainable: int, kind: Literal["adamw", "paged_adamw_8bit"]) -> int:
    """Bytes of Adam's two moments.

    Args:
        num_trainable: Parameters.
        kind: Of optimiser; small tensors of the 8-bit one stay in float32, which is not counted.

    Returns:
        Bytes, none of them paged out.
    """
    if kind == "adamw":
        return 2 * _FLOAT * num_trainable
    return 2 * (num_trainable + _FLOAT * num_trainable // _BLOCK)


def _is_target(linear: Linear, targets: str | Sequence[str]) -> bool:
    """Whether peft would adapt it; a single string is a pattern."""
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, linear.name) is not None
    return any(linear.name == name or linear.name.endswith(f".{name}") for name in targets)
