"""Which files hold the weights of a checkpoint; does not open them."""

from pathlib import Path

from anymal.bundle.contents import read_json
from anymal.errors import BundleError

_SAFETENSORS, _PICKLES = "model.safetensors", "pytorch_model.bin"


def weight_files(folder: Path, *, pickles: bool) -> list[Path]:
    """The files that hold a checkpoint's weights, all of which are there.

    Args:
        folder: Of the checkpoint.
        pickles: Whether they may be pickles, where there are no safetensors.

    Returns:
        Safetensors, or pickles where there are none.

    Raises:
        BundleError: One is missing, or there are pickles alone.
    """
    for name in (_SAFETENSORS, _PICKLES) if pickles else (_SAFETENSORS,):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            return _shards(folder, index)
    if any(folder.glob("*.bin")):
        raise BundleError(
            f"{str(folder)!r} holds its weights as pickles alone, which may hold code; convert "
            "them to safetensors (save_pretrained does)"
        )
    raise BundleError(f"{str(folder)!r} holds no weights ({_SAFETENSORS}); copy it again")


def _shards(folder: Path, index: Path) -> list[Path]:
    """The files of an index."""
    found = read_json(index)
    weight_map = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise BundleError(f"{index} does not say which file holds a weight; copy it again")
    names = sorted(set(weight_map.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BundleError(
            f"{str(folder)!r} lacks {len(missing)} of {len(names)} files of weights: "
            f"{', '.join(missing)}; copy it again"
        )
    return [folder / name for name in names]
