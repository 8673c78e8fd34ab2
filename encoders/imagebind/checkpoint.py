"""Load one trunk of ImageBind's published checkpoint, tensor by tensor and by name.

The file is mapped, not read: only the asked trunk takes memory. Nothing in it is executed. Does
not download.
"""

import json
import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.base import EncoderError
from encoders.imagebind.trunk import ImageBindShape, ImageBindTrunk, TrunkName, TrunkShape

logger = logging.getLogger(__name__)

_SHAPE_FILE = "config.json"
_WEIGHTS_FILE = "model.safetensors"
_SUFFIXES = (".pth", ".safetensors")
_KNOWN_NAME = re.compile(
    r"modality_(preprocessors|trunks|heads|postprocessors)"
    r"\.(vision|text|audio|depth|thermal|imu)\."
)
# Our name -> the published one, under modality_preprocessors, _trunks, _heads, _postprocessors.
_COMMON = {
    "cls_token": "preprocessors.{}.cls_token",
    "blocks": "trunks.{}.blocks",
    "head_norm": "heads.{}.0",
}
_NAMES: dict[str, dict[str, str]] = {
    "vision": _COMMON
    | {
        "positions": "preprocessors.{}.pos_embedding_helper.pos_embed",
        "stem": "preprocessors.{}.rgbt_stem.proj.1",
        "first_norm": "trunks.{}.pre_transformer_layer.0",
        "projection": "heads.{}.2",
    },
    "audio": _COMMON
    | {
        "positions": "preprocessors.{}.pos_embedding_helper.pos_embed",
        "stem": "preprocessors.{}.rgbt_stem.proj",
        "stem_norm": "preprocessors.{}.rgbt_stem.norm_layer",
        "projection": "heads.{}.2",
        "log_scale": "postprocessors.{}.1.log_logit_scale",
    },
    "imu": _COMMON
    | {
        "positions": "preprocessors.{}.pos_embed",
        "stem": "preprocessors.{}.imu_stem.proj",
        "stem_norm": "preprocessors.{}.imu_stem.norm_layer",
        "projection": "heads.{}.3",
        "log_scale": "postprocessors.{}.1.log_logit_scale",
    },
}


def load_trunk(path: str, name: TrunkName) -> ImageBindTrunk:
    """Load a trunk in float32, completely or not at all.

    Args:
        path: the file `imagebind_huge.pth`, a safetensors file with the same names, or a folder
            with one of them; a `config.json` beside it gives sizes other than the published.
        name: which trunk.

    Returns:
        The trunk, its tensors still in the file.

    Raises:
        EncoderError: if there is no such file, or it lacks tensors, has others, or of other shapes.
    """
    file = _weights_file(path)
    tensors = _open_tensors(file)
    with torch.device("meta"):
        trunk = ImageBindTrunk(name, read_shape(path))
    wanted = {published_name(name, own): own for own in trunk.state_dict()}
    _check_names(file, name, wanted=set(wanted), given=set(tensors))
    loaded = {own: tensors[published].to(torch.float32) for published, own in wanted.items()}
    for own, expected in trunk.state_dict().items():
        if loaded[own].shape != expected.shape:
            raise EncoderError(
                f"'{file}': '{published_name(name, own)}' has shape {tuple(loaded[own].shape)}, "
                f"expected {tuple(expected.shape)}; a checkpoint of other sizes needs them in "
                f"a {_SHAPE_FILE} beside it"
            )
    trunk.load_state_dict(loaded, assign=True)
    _show_licence()
    return trunk


def read_shape(path: str) -> ImageBindShape:
    """The sizes of a checkpoint: those in its folder's `config.json`, else the published ones.

    Args:
        path: as for `load_trunk`; need not exist.

    Returns:
        The sizes.

    Raises:
        EncoderError: if the file does not hold them.
    """
    file = Path(path, _SHAPE_FILE)
    if not file.is_file():
        return ImageBindShape()
    try:
        sizes = json.loads(file.read_text(encoding="utf-8"))
        trunks = {name: TrunkShape(**sizes[name]) for name in get_args(TrunkName)}
        return ImageBindShape(**trunks, out_size=sizes["out_size"])
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"'{file}' does not hold an ImageBindShape: {error!r}") from error


def published_name(name: TrunkName, own: str) -> str:
    """The name in the published checkpoint of one of our tensors of a trunk."""
    first, _, rest = own.partition(".")
    published = "modality_" + _NAMES[name][first].format(name)
    return f"{published}.{rest}" if rest else published


def save_random(folder: Path, shape: ImageBindShape) -> dict[TrunkName, ImageBindTrunk]:
    """Write a checkpoint of random weights under the published names, to try recipes out with.

    Args:
        folder: where to; made if need be.
        shape: its sizes.

    Returns:
        The trunks that were written.
    """
    trunks: dict[TrunkName, ImageBindTrunk] = {}
    tensors = {}
    for name in get_args(TrunkName):
        trunk = trunks[name] = ImageBindTrunk(name, shape)
        for parameter in trunk.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        for own, tensor in trunk.state_dict().items():
            tensors[published_name(name, own)] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / _WEIGHTS_FILE)
    (folder / _SHAPE_FILE).write_text(json.dumps(asdict(shape), indent=2), encoding="utf-8")
    return trunks


def _weights_file(path: str) -> Path:
    """The one file of weights that a path stands for."""
    given = Path(path)
    files = [given]
    if given.is_dir():
        files = sorted(file for file in given.iterdir() if file.suffix in _SUFFIXES)
    if len(files) != 1 or not files[0].is_file() or files[0].suffix not in _SUFFIXES:
        raise EncoderError(
            f"'{path}' is neither ImageBind's imagebind_huge.pth (or a .safetensors file with the "
            "same names) nor a folder with exactly one; download it from where its authors "
            "published it"
        )
    return files[0]


def _open_tensors(file: Path) -> Mapping[str, Any]:
    """The tensors of a file by name, mapped into memory."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"'{file}' is no checkpoint of tensors alone: {reason}") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise EncoderError(f"'{file}' is no checkpoint of tensors alone; give one by name")
    return tensors


def _check_names(file: Path, trunk: TrunkName, *, wanted: set[str], given: set[str]) -> None:
    """Refuse a file with missing or unexpected tensors; those of other trunks are not looked at."""
    of_trunk = re.compile(rf"modality_[a-z]+\.{trunk}\.")
    unexpected = {
        name for name in given - wanted if of_trunk.match(name) or not _KNOWN_NAME.match(name)
    }
    for names, problem in ((wanted - given, "lacks"), (unexpected, "has unexpected")):
        if names:
            listed = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
            raise EncoderError(
                f"'{file}' {problem} {len(names)} tensors of ImageBind's {trunk} trunk: {listed}"
            )


@cache
def _show_licence() -> None:
    """Say once what the weights may be used for."""
    logger.warning(
        "ImageBind's weights are under CC BY-NC-SA 4.0: not for commercial use, and what is "
        "derived from them is shared under the same licence; their authors advise against use in "
        "real-world applications."
    )
