"""The states of the random generators that training may use, as JSON and tensors.

Does not seed the sampler, which is a function of its position and keeps no state.
"""

import hashlib
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


def seed_torch(*facts: object) -> None:
    """Seed torch alone, always the same way for the same facts."""
    digest = hashlib.sha256(repr(facts).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7]))


def random_state() -> RandomState:
    """The current state of every generator of this process."""
    version, words, spare = random.getstate()
    name, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    # Of this process's GPU alone: to ask another takes memory there.
    device = torch.cuda.current_device() if torch.cuda.is_available() else None
    return RandomState(
        values={
            "python": [version, list(words), spare],
            "numpy": [name, np.asarray(keys).tolist(), place, has_gauss, gauss],
        },
        tensors={
            "cpu": torch.get_rng_state(),
            **({} if device is None else {f"cuda.{device}": torch.cuda.get_rng_state(device)}),
        },
    )


def set_random_state(state: RandomState) -> None:
    """Set every generator to a state that `random_state` returned."""
    version, words, spare = state.values["python"]
    random.setstate((version, tuple(words), spare))
    name, keys, place, has_gauss, gauss = state.values["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), place, has_gauss, gauss))
    torch.set_rng_state(state.tensors["cpu"])
    if torch.cuda.is_available():
        device = torch.cuda.current_device()
        if (own := state.tensors.get(f"cuda.{device}")) is not None:
            torch.cuda.set_rng_state(own, device)
