"""Whether a checkpoint's weights can be those that its configuration describes.

Does not compare them exactly; loading does. A configuration that multiplies to more than memory is
refused before anything of it is allocated.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from anymal.errors import RecipeError
from anymal.llm.auto_class import auto_causal_lm

# Quantised checkpoints hold up to eight weights in a number.
_MOST_WEIGHTS_A_NUMBER = 16
_SLACK = 2**24


def check_sizes(path: str, config: Any) -> None:
    """Refuse a language model whose configuration asks for many more weights than its files hold.

    Args:
        path: Of the checkpoint; one that is no folder with safetensors is not looked at.
        config: Its configuration, as transformers reads it.

    Raises:
        RecipeError: It does.
    """
    files = sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
    if not files:
        return
    with torch.device("meta"):
        model = auto_causal_lm().from_config(config)
    check_weights(model, files, what=f"the language model {path!r}")


def check_weights(model: nn.Module, files: Sequence[Path], *, what: str) -> None:
    """Refuse a model of many more weights than some files hold.

    Args:
        model: On the meta device.
        files: Safetensors, of which the headers are read, or others, whose bytes are counted.
        what: Errors call it so.

    Raises:
        RecipeError: It has.
    """
    held = sum(map(_num_numbers, files))
    needed = sum(parameter.numel() for parameter in model.parameters())
    if needed > _MOST_WEIGHTS_A_NUMBER * held + _SLACK:
        raise RecipeError(
            f"the configuration of {what} describes {needed:,} weights, and its files hold "
            f"{held:,} numbers; copy the checkpoint again"
        )


def _num_numbers(file: Path) -> int:
    """How many numbers a file holds, by its header, or at most."""
    if file.suffix != ".safetensors":
        return file.stat().st_size
    with safe_open(file, framework="pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118  # not a dict
