"""Cached features: looked up by the hash of a medium, read from memory-mapped files.

Does not encode and does not write; `train.encode` does. Nothing is copied before a batch is made.

Shapes: M media items, F features per item, D_enc encoder width.

    FOLDER/image-3f0c1d2e4b5a6978/00000.safetensors    modality and start of the fingerprint
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anymal.errors import DataError
from anymal.features.shard import KEY_BYTES, SUFFIX, read_shard
from encoders.base import Encoder, Features, Layout

_VALUES, _MASK, _STEPS = "features.values", "features.mask", "features.steps"
_PREFIX_BYTES = 8
_FINGERPRINT_DIGITS = 16  # in the name of a folder; files hold all of it


class FeatureStore:
    """The features that one encoder gave for media of one modality.

    Args:
        root: Folder of the cache.
        modality: Name of the modality.
        encoder: Gives the fingerprint and the width; its weights are not used.

    Raises:
        DataError: A file is damaged.
    """

    def __init__(self, root: Path, *, modality: str, encoder: Encoder) -> None:
        self.root = root
        self.modality = modality
        self.folder = store_folder(root, modality, encoder.fingerprint)
        self._shards = [
            read_shard(path, fingerprint=encoder.fingerprint, width=encoder.width)
            for path in shard_paths(self.folder)
        ]
        keys = [shard.keys.numpy() for shard in self._shards]
        self._keys = np.concatenate(keys or [np.empty((0, KEY_BYTES), np.uint8)])
        self._starts = np.cumsum([0, *map(len, keys)])  # first row of each file
        # Sorted integers take a tenth of a dict's memory; millions of items are ordinary.
        prefixes = _prefixes(self._keys)
        self._order = np.argsort(prefixes, kind="stable")
        self._prefixes = prefixes[self._order]

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, digest: str) -> bool:
        return self._row(digest) is not None

    def item(self, digest: str, *, name: str) -> tuple[dict[str, Tensor], Layout | None]:
        """Look up one medium.

        Args:
            digest: SHA-256 of the medium.
            name: What errors call it.

        Returns:
            What stands in an item of `Sample.media`: values `[F, D_enc]` float16, mask and steps
            `[F]`; and their layout, where the cache tells.

        Raises:
            DataError: It is not in the cache, or damaged there.
        """
        row = self._row(digest)
        if row is None:
            raise DataError(
                f"{name} (SHA-256 {digest[:16]}...) is not among the {len(self)} {self.modality} "
                f"items of the features in {str(self.root)!r}; run `anymal data encode` with this "
                "recipe, which encodes what is missing, or train from media with features=null"
            )
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        own = row - int(self._starts[shard])
        features = self._shards[shard].features(own)
        tensors = {
            _VALUES: features.values[0],
            _MASK: features.mask[0],
            _STEPS: features.steps[0],
        }
        return tensors, self._shards[shard].layout(own)

    def _row(self, digest: str) -> int | None:
        """The place of a medium among all items."""
        key = bytes.fromhex(digest)
        prefix = np.frombuffer(key[:_PREFIX_BYTES], ">u8").astype(np.uint64)[0]
        place = int(np.searchsorted(self._prefixes, prefix))
        while place < len(self) and self._prefixes[place] == prefix:
            row = int(self._order[place])
            if self._keys[row].tobytes() == key:
                return row
            place += 1
        return None


def open_features(root: Path, *, modality: str, encoder: Encoder) -> FeatureStore:
    """Open a cache to train from.

    Args:
        root: The recipe's `features`.
        modality: Name of the modality.
        encoder: The recipe's.

    Returns:
        The store; it is empty where no medium of this modality was encoded.

    Raises:
        DataError: There is no such folder, a file is damaged, or the features of this modality
            were given by another encoder.
    """
    if not root.is_dir():
        raise DataError(
            f"features {str(root)!r} is not a folder; write it with `anymal data encode RECIPE`"
        )
    store = FeatureStore(root, modality=modality, encoder=encoder)
    others = [path.name for path in root.glob(f"{modality}-*") if shard_paths(path)]
    if others and not len(store):
        raise DataError(
            f"the features in {str(root)!r} were given by another {modality} encoder "
            f"({', '.join(sorted(others))}; this recipe's is {store.folder.name}): its weights, "
            "preprocessing or options differ; run `anymal data encode` with this recipe, or point "
            "`features` at the folder that was made with it"
        )
    return store


def store_folder(root: Path, modality: str, fingerprint: str) -> Path:
    """The folder of one modality and encoder inside a cache."""
    return root / f"{modality}-{fingerprint[:_FINGERPRINT_DIGITS]}"


def shard_paths(folder: Path) -> list[Path]:
    """The files of a folder in order, without those that a killed process left unfinished."""
    paths = folder.glob(f"*{SUFFIX}")
    return sorted(path for path in paths if not path.name.startswith("."))


def is_cached(item: Mapping[str, Tensor]) -> bool:
    """Whether an item of `Sample.media` came from a cache."""
    return _VALUES in item


def stack_cached(items: Sequence[Mapping[str, Tensor]]) -> Features:
    """Pad cached items to one length.

    Args:
        items: Tensors from `FeatureStore.item`, at least one.

    Returns:
        Features `[M, F, D_enc]` float16; padding is outside the mask.
    """
    values, mask, steps = (
        pad_sequence([item[name] for item in items], batch_first=True)
        for name in (_VALUES, _MASK, _STEPS)
    )
    return Features(values=values, mask=mask, steps=steps)


def _prefixes(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first bytes of each key as a number."""
    first = np.ascontiguousarray(keys[:, :_PREFIX_BYTES])
    return first.view(">u8")[:, 0].astype(np.uint64)
