"""Tensors in one safetensors file that appears whole or not at all, mapped into memory when read.

Every tensor has a checksum, and so has what the file says of them: what a disk or another program
changed is not computed with. The checksums stop no one who writes such a file on purpose. Does not
know whose tensors they are.

    __metadata__["facts"]   what the writer says of them, as JSON
    __metadata__["sums"]    checksum of each tensor by name, as JSON
    __metadata__["same"]    names of tensors that are another one in memory too, as JSON
    __metadata__["seal"]    SHA-256 of the three
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anymal.durable import write_file
from anymal.llm.alignment import ALIGNMENT, aligned

_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_NOTES = ("facts", "sums", "same")
_PAGE = 4096  # bytes that are summed together


class DamagedError(Exception):
    """A file cannot be used; the message says why."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a file; a tensor that is in memory once is in the file once.

    Not by safetensors, which would first make a copy of all of them in memory.

    Args:
        path: In a folder that exists.
        tensors: On the CPU, by name.
        facts: JSON values, such as what the tensors were made from.

    Raises:
        OSError: It cannot be written.
        KeyError: A dtype has no name here.
    """
    own: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        first = seen.setdefault(place, name) if tensor.numel() else name
        if first == name:
            own[name] = tensor.detach().contiguous()
        else:
            same[name] = first
    # Odd sizes come last, so that readers need not copy the tensors before them to align them.
    names = sorted(
        own, key=lambda name: (own[name].nbytes % ALIGNMENT > 0, -own[name].itemsize, name)
    )
    sums = {name: _checksum(own[name]) for name in names}
    notes = {"facts": json.dumps(facts), "sums": json.dumps(sums), "same": json.dumps(same)}
    header: dict[str, Any] = {"__metadata__": notes | {"seal": _seal(notes)}}
    end = 0
    for name in names:
        start, end = end, end + own[name].nbytes
        header[name] = {
            "dtype": _DTYPES[own[name].dtype],
            "shape": list(own[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with write_file(path, mode=0o600) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(_bytes(own[name]).numpy().data)


def read_facts(path: Path) -> Any:
    """What the writer of a file said of it; its tensors are not looked at.

    Raises:
        OSError: There is no such file, or it may not be read.
        DamagedError: It is not whole.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(_sealed(file.metadata())["facts"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedError(str(error)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map a file into memory; processes that read it share its pages.

    Returns:
        The tensors by name, those that were one in memory one again. Each begins at a multiple of
        `ALIGNMENT`: the few that do not in the file are copied. They must not be changed.

    Raises:
        OSError: There is no such file, or it may not be read.
        DamagedError: It is not what was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = _sealed(file.metadata())
            tensors = {name: aligned(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        sums, same = json.loads(notes["sums"]), json.loads(notes["same"])
        if sums.keys() != tensors.keys():
            raise DamagedError("it does not hold the tensors that it names")
        for name, tensor in tensors.items():
            if _checksum(tensor) != sums[name]:
                raise DamagedError(f"{name} has changed since it was written")
        return tensors | {name: tensors[first] for name, first in same.items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedError(str(error)) from error


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def _sealed(notes: Mapping[str, str] | None) -> Mapping[str, str]:
    """What a file says of its tensors, as it was written."""
    notes = notes or {}
    if notes["seal"] != _seal(notes):
        raise DamagedError("what it says of its tensors has changed since it was written")
    return notes


def _seal(notes: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(notes[key] for key in _NOTES).encode()).hexdigest()


def _checksum(tensor: Tensor) -> str:
    """SHA-256 of the sum of each page as whole numbers of 64 bits, and of what follows the last.

    Summing is as fast as memory is read; hashing the sums notices pages in another order too.
    """
    data = _bytes(tensor)
    whole = data.numel() // _PAGE * _PAGE
    pages = data[:whole]
    if pages.data_ptr() % 8:  # behind others of odd sizes
        pages = pages.clone()
    sums = pages.view(torch.int64).view(-1, _PAGE // 8).sum(1)
    digest = hashlib.sha256(sums.numpy().tobytes())
    digest.update(data[whole:].numpy().tobytes())
    return digest.hexdigest()
