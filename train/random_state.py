"""The states of the random generators that training may use, as JSON and tensors.

Does not seed the sampler, which is a function of its position and keeps no state.
"""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomState:
    """States of python and numpy (JSON values) and of torch (byte tensors by device)."""

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> RandomState:
    """The current state of every generator."""
    version, words, spare = random.getstate()
    name, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(
        values={
            "python": [version, list(words), spare],
            "numpy": [name, np.asarray(keys).tolist(), place, has_gauss, gauss],
        },
        tensors={
            "cpu": torch.get_rng_state(),
            **{f"cuda.{number}": state for number, state in enumerate(devices)},
        },
    )


def set_random_state(state: RandomState) -> None:
    """Set every generator to a state that `random_state` returned."""
    version, words, spare = state.values["python"]
    random.setstate((version, tuple(words), spare))
    name, keys, place, has_gauss, gauss = state.values["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), place, has_gauss, gauss))
    torch.set_rng_state(state.tensors["cpu"])
    for key, value in state.tensors.items():
        if key.startswith("cuda."):
            torch.cuda.set_rng_state(value, int(key.removeprefix("cuda.")))
