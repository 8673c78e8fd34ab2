"""The device of a plan: how much memory it has, and how much of that no tensor can use."""

import os
import re
from dataclasses import dataclass
from typing import Literal

from anymal.errors import RecipeError

DeviceType = Literal["cpu", "cuda"]

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# Assumed, not measured here: what a CUDA context with its libraries' workspaces takes, and the
# share that the caching allocator loses between blocks (2 to 3 GB on a card of 80 GB).
_CUDA_CONTEXT = 2**30
_CUDA_FRAGMENTS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that a run is planned for.

    Attributes:
        type: As torch names it.
        memory: Bytes.
        ranks: How many such devices share the run.
        shards: Among how many of them the frozen 4-bit matrices are cut.
    """

    type: DeviceType
    memory: int
    ranks: int = 1
    shards: int = 1

    @property
    def overhead(self) -> int:
        """Bytes that no tensor can use; none on a CPU, where memory means memory for tensors."""
        return _CUDA_CONTEXT + int(_CUDA_FRAGMENTS * self.memory) if self.type == "cuda" else 0


def parse_memory(text: str) -> int:
    """Read an amount of memory.

    Args:
        text: A number and one of KB, MB, GB, KiB, MiB, GiB, such as `80GiB`.

    Returns:
        Bytes.

    Raises:
        RecipeError: It is not of that form.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if match is None or match.group(2) not in _UNITS or not float(match.group(1)):
        raise RecipeError(
            f"memory is {text!r}; give a number and one of {', '.join(_UNITS)}, such as 80GiB"
        )
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def memory_of(device: DeviceType) -> int:
    """How much memory a device of this machine has, used or not.

    Raises:
        RecipeError: This machine has no GPU.
    """
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import torch

    if not torch.cuda.is_available():
        raise RecipeError(
            "this machine has no GPU whose memory could be read; say how much to plan for, such "
            "as --memory 80GiB, or set device=cpu"
        )
    return int(torch.cuda.get_device_properties(0).total_memory)
