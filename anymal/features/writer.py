"""Fills the files of one modality's features, one after the other, each whole or absent.

Does not encode; what lies in a file is `anymal.features.shard`'s.
"""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from anymal.durable import LEFTOVERS
from anymal.errors import DataError
from anymal.features.shard import KEY_BYTES, SUFFIX, is_finite, write_shard
from anymal.features.store import FeatureStore, shard_paths, store_folder
from encoders.base import Encoder, Features, Layout

SHARD_BYTES = 256 * 2**20  # at most this much work is lost to a kill


class FeatureWriter:
    """Adds to the features of one modality and encoder; the caller leaves out duplicates.

    Use it as a context manager: leaving writes what is held, also after an error, and removes the
    folder where there is nothing in it.

    Args:
        root: Folder of the cache.
        modality: Name of the modality.
        encoder: Gives the fingerprint and the width.

    Raises:
        DataError: A file is damaged, or another process writes here.
    """

    def __init__(self, root: Path, *, modality: str, encoder: Encoder) -> None:
        self.folder = store_folder(root, modality, encoder.fingerprint)
        self._lock = _lock(self.folder)
        for leftover in self.folder.glob(LEFTOVERS):  # of a process that was killed
            leftover.unlink()
        self.store = FeatureStore(root, modality=modality, encoder=encoder)
        self._fingerprint = encoder.fingerprint
        self._keys: list[bytes] = []
        self._items: list[Features] = []
        self._layouts: list[Layout | None] = []
        self._held = 0

    def add(
        self, digest: str, features: Features, *, name: str, layout: Layout | None = None
    ) -> None:
        """Hold the features of one medium until the next `flush`.

        Args:
            digest: SHA-256 of the medium.
            features: `[1, F, D_enc]` on the CPU, with padding or without.
            name: What errors call the medium.
            layout: Of the features, where the encoder tells.

        Raises:
            DataError: A feature is not finite as float16, or the encoder told another number.
        """
        item = as_stored(features, name=name)
        if layout is not None and layout.count != (num_real := int(item.mask.sum())):
            raise DataError(
                f"{name}: the encoder told {layout.count} features before it encoded and gave "
                f"{num_real}; its layout is wrong"
            )
        self._keys.append(bytes.fromhex(digest))
        self._items.append(item)
        self._layouts.append(layout)
        self._held += stored_bytes(item)

    @property
    def is_full(self) -> bool:
        """Whether what is held is enough for a file."""
        return self._held >= SHARD_BYTES

    def flush(self) -> None:
        """Write what is held, if anything.

        Raises:
            DataError: The disk is full.
        """
        if not self._keys:
            return
        keys, items, held = self._keys, self._items, self._held
        layouts = [layout for layout in self._layouts if layout is not None]
        self._keys, self._items, self._layouts, self._held = [], [], [], 0
        free = shutil.disk_usage(self.folder).free
        if free < held:
            raise DataError(
                f"the disk of {self.folder} is full: the next file takes {held / 1e6:.0f} MB and "
                f"{free / 1e6:.0f} MB are free; make room and run the same command, which "
                "continues after the existing files"
            )
        paths = shard_paths(self.folder)
        number = int(paths[-1].stem) + 1 if paths else 0
        path = self.folder / f"{number:05d}{SUFFIX}"
        write_shard(
            path,
            keys,
            items,
            fingerprint=self._fingerprint,
            layouts=layouts if len(layouts) == len(items) else None,
        )

    @property
    def num_bytes(self) -> int:
        """What the files take."""
        return sum(path.stat().st_size for path in shard_paths(self.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        finally:
            if not any(self.folder.iterdir()):
                self.folder.rmdir()  # while it is locked, so that no other process writes there
            os.close(self._lock)  # which also unlocks


def as_stored(features: Features, *, name: str) -> Features:
    """The features of one medium as files hold them: float16, without padding at their end.

    Args:
        features: `[1, F, D_enc]` on the CPU.
        name: What errors call the medium.

    Returns:
        Features `[1, F', D_enc]` float16, F' at least 1.

    Raises:
        DataError: A feature is not finite, or too large for float16.
    """
    real = features.mask[0].nonzero()
    length = int(real[-1]) + 1 if len(real) else 1
    values = features.values[:, :length].to(torch.float16, copy=True)  # lets the batch go
    if not is_finite(values):
        largest = features.values.abs().max()
        raise DataError(
            f"{name} has a feature of {float(largest):.4g}, and float16 holds up to 65504; "
            "train from media with features=null, or choose another layer of the encoder"
        )
    return Features(values=values, mask=features.mask[:, :length], steps=features.steps[:, :length])


def stored_bytes(item: Features) -> int:
    """What an item takes in a file: its features, its key and where it ends."""
    tensors = (item.values, item.mask, item.steps)
    return KEY_BYTES + 8 + sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _lock(folder: Path) -> int:
    """Make a folder and hold it until the returned descriptor is closed, or the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"cannot write to {folder} ({error}); choose another --out") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataError(
            f"another `anymal data encode` writes to {folder}; wait for it, or stop it"
        ) from error
    return descriptor
