"""One file of cached features: its layout, and what is checked when it is opened.

Media and encoder are only hashes here.

Shapes: N items of one file, F_all features of all its items, D_enc encoder width.

    keys    [N, 32] uint8             SHA-256 of each medium
    ends    [N] int64                 where the features of each item end
    values  [F_all, D_enc] float16
    mask    [F_all] bool
    steps   [F_all] int64
    layouts [N, 4] int64              views, before, rows, columns; not in files of format 1,
                                      which are those of encoders without layouts, or old
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from anymal.durable import write_file
from anymal.errors import DataError
from encoders.base import Features, Layout

SUFFIX = ".safetensors"
KEY_BYTES = 32
_DTYPES = {
    "keys": torch.uint8,
    "ends": torch.int64,
    "values": torch.float16,
    "mask": torch.bool,
    "steps": torch.int64,
}
_LAYOUTS = "layouts"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shard:
    """The tensors of an open file, as the module describes them; its pages are read when used."""

    path: Path
    keys: Tensor
    ends: Tensor
    values: Tensor
    mask: Tensor
    steps: Tensor
    layouts: Tensor | None = None

    def layout(self, row: int) -> Layout | None:
        """How the features of one item are laid out, where the file tells."""
        if self.layouts is None:
            return None
        views, before, rows, columns = self.layouts[row].tolist()
        return Layout(views=views, before=before, rows=rows, columns=columns)

    def features(self, row: int) -> Features:
        """The features of one item, `[1, F, D_enc]`, without a copy.

        Raises:
            DataError: They are not finite.
        """
        begin, end = int(self.ends[row - 1]) if row else 0, int(self.ends[row])
        values = self.values[begin:end]
        if not is_finite(values):
            raise _damaged(self.path, f"item {row} is not finite")
        return Features(
            values=values[None], mask=self.mask[None, begin:end], steps=self.steps[None, begin:end]
        )


def write_shard(
    path: Path,
    keys: Sequence[bytes],
    items: Sequence[Features],
    *,
    fingerprint: str,
    layouts: Sequence[Layout] | None = None,
) -> None:
    """Write a file so that it appears whole or not at all.

    Args:
        path: Where it goes.
        keys: SHA-256 of each medium.
        items: Features of each, `[1, F, D_enc]` float16 on the CPU.
        fingerprint: Of the encoder that gave them.
        layouts: Of each item, where the encoder tells.

    Raises:
        DataError: The file cannot be written, because the disk is full for instance.
    """
    tensors = {
        "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(-1, KEY_BYTES),
        "ends": torch.tensor([item.values.shape[1] for item in items]).cumsum(0),
        "values": torch.cat([item.values[0] for item in items]),
        "mask": torch.cat([item.mask[0] for item in items]),
        "steps": torch.cat([item.steps[0] for item in items]),
    }
    if layouts is not None:
        tensors[_LAYOUTS] = torch.tensor([astuple(layout) for layout in layouts])
    # Not save_file: only the owner may read its files, and a cache is there to be shared.
    content = save(tensors, {"format": _format(tensors), "fingerprint": fingerprint})
    try:
        with write_file(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error}); files written before it are whole, and the same "
            "command continues after them"
        ) from error


def read_shard(path: Path, *, fingerprint: str, width: int) -> Shard:
    """Open a file and check everything but its values, which are checked when they are read.

    Args:
        path: The file.
        fingerprint: Of the encoder that must have written it.
        width: D_enc of that encoder.

    Returns:
        Its tensors, mapped into memory.

    Raises:
        DataError: It is damaged, or of another format or encoder.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if facts != (expected := {"format": _format(tensors), "fingerprint": fingerprint}):
        raise _damaged(path, f"it says {facts}, not {expected}")
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    wanted = _DTYPES | ({_LAYOUTS: torch.int64} if _LAYOUTS in tensors else {})
    if dtypes != wanted:
        raise _damaged(path, f"it holds {dtypes}, not {wanted}")
    shard = Shard(path=path, **tensors)
    _check_shapes(shard, width)
    return shard


def is_finite(values: Tensor) -> bool:
    """Whether no value is infinite or not a number; much cheaper than `isfinite` of each."""
    low, high = values.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _format(tensors: Mapping[str, Tensor]) -> str:
    """The version of the layout of a file."""
    return "2" if _LAYOUTS in tensors else "1"


def _check_shapes(shard: Shard, width: int) -> None:
    """Refuse tensors that do not fit together."""
    num_items, num_features = len(shard.keys), len(shard.values)
    shapes = {name: tuple(getattr(shard, name).shape) for name in _DTYPES}
    expected = {
        "keys": (num_items, KEY_BYTES),
        "ends": (num_items,),
        "values": (num_features, width),
        "mask": (num_features,),
        "steps": (num_features,),
    }
    if shapes != expected:
        raise _damaged(shard.path, f"it has shapes {shapes}, not {expected}")
    if shard.layouts is not None and shard.layouts.shape != (num_items, 4):
        raise _damaged(shard.path, f"it has {len(shard.layouts)} layouts of {num_items} items")
    sizes = torch.diff(shard.ends, prepend=torch.zeros(1, dtype=torch.int64))
    if num_items == 0 or int(sizes.min()) < 1 or int(shard.ends[-1]) != num_features:
        raise _damaged(shard.path, f"its items do not end at its {num_features} features")


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not a whole file of features ({reason}); "
        "delete it and run `anymal data encode` again"
    )
