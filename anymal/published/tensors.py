"""Some tensors of a checkpoint by their names, whatever files they lie in.

Does not make a model of them. Pickles are read as tensors alone.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from anymal.errors import BundleError


def read_tensors(files: Sequence[Path], prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin alike.

    Args:
        files: Safetensors or pickles, one of which is in memory at a time.
        prefix: How they begin.

    Returns:
        By the rest of their names; of their own memory.

    Raises:
        pickle.UnpicklingError: A pickle holds more than tensors.
        BundleError: A pickle holds a tensor that takes more memory than the file.
    """
    found: dict[str, Tensor] = {}
    for file in files:
        read = _of_safetensors if file.suffix == ".safetensors" else _of_pickle
        for name, tensor in read(file, prefix).items():
            found[name.removeprefix(prefix)] = tensor
    return found


def _of_safetensors(file: Path, prefix: str) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as tensors:
        names = [name for name in tensors.keys() if name.startswith(prefix)]  # noqa: SIM118  # not a dict
        return {name: tensors.get_tensor(name) for name in names}


def _of_pickle(file: Path, prefix: str) -> dict[str, Tensor]:
    # Only the newer of two formats can be read in parts.
    mmap = zipfile.is_zipfile(file)
    found = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    wanted = {name: tensor for name, tensor in found.items() if name.startswith(prefix)}
    for name, tensor in wanted.items():
        if tensor.nbytes > file.stat().st_size:  # a number that is repeated, until it is copied
            raise BundleError(f"{name!r} in {str(file)!r} is larger than the file; copy it again")
    return {name: tensor.clone() for name, tensor in wanted.items()}
