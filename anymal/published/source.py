"""A published checkpoint before any of it is loaded: its class, and whether it may be read.

Its files may be a stranger's. Does not load weights and never runs code that lies there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel

from anymal.bundle.contents import Rules, check_contents, read_json
from anymal.bundle.parts import hub_folder
from anymal.errors import AnymalError, BundleError
from anymal.llm.sizes import check_weights
from anymal.published.base import Importer
from anymal.published.others import local_other
from anymal.published.refused import cause_of
from anymal.published.registry import IMPORTERS
from anymal.published.weight_files import weight_files

_CONFIG = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that may be read.

    Attributes:
        folder: On this machine.
        importer: Of its class.
    """

    folder: Path
    importer: Importer


def checked_source(checkpoint: str | Path, *, allow_hub: bool = False) -> Source:
    """Find the importer of a checkpoint, and check its files.

    Args:
        checkpoint: Its folder, or a Hub id.
        allow_hub: Download what the local cache lacks.

    Returns:
        What may be read.

    Raises:
        BundleError: Its class cannot be imported, a file is missing or reaches beyond the folder,
            or it names code.
        RecipeError: It describes many more weights than its files hold.
    """
    folder = _local(str(checkpoint), allow_hub=allow_hub)
    config = _config(folder)
    importer = _importer(config, folder)
    if importer.reads_pickles and allow_hub and not Path(checkpoint).is_dir():
        _fetch_pickles(str(checkpoint), folder)
    _check_files(folder, names_code=importer.ignores_code)
    weights = weight_files(folder, pickles=importer.reads_pickles)
    _check_sizes(lambda: importer.outline(config), weights, folder)
    for name in importer.others(config):
        other = local_other(name, folder, allow_hub=allow_hub)
        _check_files(other, names_code=False)
        _check_sizes(lambda place=other: _outline(place), weight_files(other, pickles=True), other)
    return Source(folder=folder, importer=importer)


def _local(checkpoint: str, *, allow_hub: bool) -> Path:
    """The folder of a checkpoint."""
    place = Path(checkpoint).expanduser()
    if place.exists():
        return place.resolve()
    if place.is_absolute() or checkpoint.count("/") > 1 or checkpoint.startswith("."):
        raise BundleError(f"there is no folder {checkpoint!r}")
    return Path(hub_folder(checkpoint, what="the checkpoint", allow_hub=allow_hub))


def _fetch_pickles(checkpoint: str, folder: Path) -> None:
    """Download pickles of a Hub id that has no safetensors."""
    if not any(folder.glob("*.safetensors")):
        hub_folder(checkpoint, what="the checkpoint", allow_hub=True, others=["*.bin"])


def _config(folder: Path) -> Mapping[str, Any]:
    """What `config.json` says."""
    path = folder / _CONFIG
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"{str(path)!r} cannot be read ({error}); give the folder of a checkpoint of "
            "transformers"
        ) from error
    if not isinstance(config, dict):
        raise BundleError(f"{str(path)!r} is no configuration; copy the checkpoint again")
    return config


def _importer(config: Mapping[str, Any], folder: Path) -> Importer:
    """The importer of a configuration."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "a model of no named class"
    if config.get("quantization_config"):
        raise BundleError(
            f"{str(folder)!r} holds quantised weights (quantization_config); import the checkpoint "
            "that they were made from, and quantise as you serve (--precision)"
        )
    importer = IMPORTERS.get(name)
    # Of a class that can be imported, some checkpoints hold another kind of language model.
    text = config.get("text_config")
    told = config if importer is None else text if isinstance(text, dict) else {}
    if cause := cause_of(told, name):
        raise BundleError(
            f"{name} cannot become a bundle, which puts soft tokens between words: {cause}"
        )
    if importer is not None:
        return importer
    code = ", and its own code (auto_map) is never run" if "auto_map" in config else ""
    raise BundleError(
        f"{str(folder)!r} holds {name}, which cannot be imported{code}; classes that can: "
        f"{', '.join(sorted(IMPORTERS))}"
    )


def _check_files(folder: Path, *, names_code: bool) -> None:
    """Refuse files that reach beyond the folder, are too large to read, or name code."""
    # The Hub's cache keeps the files of a snapshot in `blobs`, beside it. In a copied folder,
    # `blobs` could be a link to anywhere.
    blobs = folder.parent.parent / "blobs"
    is_cached = folder.parent.name == "snapshots" and not blobs.is_symlink()
    check_contents(
        folder,
        Rules(
            what="checkpoint",
            links_into=blobs if is_cached else None,
            pickles=True,
            names_code=names_code,
        ),
    )


def _outline(folder: Path) -> nn.Module:
    """A model without weights, by its configuration."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    model: nn.Module = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    return model


def _check_sizes(outline: Any, files: Sequence[Path], folder: Path) -> None:
    """Refuse a configuration of many more weights than its files hold, or that makes no sense."""
    try:
        with torch.device("meta"):
            model = outline()
    except AnymalError:
        raise
    except Exception as error:  # transformers fails in many ways on settings that make no sense
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BundleError(
            f"the configuration of {str(folder)!r} makes no sense ({reason}); copy the checkpoint "
            "again"
        ) from error
    try:
        check_weights(model, files, what=repr(str(folder)))
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{str(folder)!r} cannot be read ({error}); copy it again") from error
