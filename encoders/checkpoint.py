"""Load a pretrained transformers model, by folder or Hub id, completely or not at all.

Also builds models of random weights. Does not choose layers and does not preprocess.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from encoders.base import EncoderError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A loaded model, or one tower of it, and the names of its weights that the file lacked."""

    model: PreTrainedModel
    missing: frozenset[str]


@contextmanager
def reading(kind: str, path: str | None) -> Iterator[None]:
    """Name the checkpoint in what transformers says of one that is missing, damaged or foreign.

    Args:
        kind: of the encoder.
        path: a local folder or a Hub id, if any.

    Raises:
        EncoderError: if the checkpoint cannot be read.
    """
    try:
        yield
    except EncoderError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise EncoderError(
            f"'{path}' cannot be read as a checkpoint of encoder '{kind}' ({reason}); give the "
            "folder or Hub id of a whole one"
        ) from error


def load_part(path: str, *, part: Any, whole: Any, tower: str) -> Checkpoint:
    """Load one tower of a model, from a checkpoint of the tower alone or of the whole model.

    Args:
        path: a local folder or a Hub id.
        part: the tower's class.
        whole: the model's class.
        tower: the tower's attribute in the model.

    Returns:
        The tower.
    """
    settings, _ = PretrainedConfig.get_config_dict(path)
    if part.__name__ in (settings.get("architectures") or ()):
        return load_checkpoint(part, path)
    return load_checkpoint(whole, path, tower=tower)


def load_checkpoint(
    model_class: Any,
    path: str,
    *,
    tower: str | None = None,
    unused: Sequence[str] = (),
    **options: Any,
) -> Checkpoint:
    """Load a model in float32.

    Args:
        model_class: a transformers class with `from_pretrained`.
        path: a local folder or a Hub id.
        tower: attribute of the model to keep, such as `vision_model`; None keeps all of it.
        unused: first name parts of weights that the features do not depend on, such as pooling
            heads; a checkpoint may lack them.
        options: more that `from_pretrained` takes. With `config` of a part of the checkpoint, and
            `key_mapping` to the names that its weights have in that part, no other is read.

    Returns:
        The model, or its tower.

    Raises:
        EncoderError: if the checkpoint lacks weights that the features depend on.
    """
    model, report = model_class.from_pretrained(
        path, dtype=torch.float32, output_loading_info=True, **options
    )
    prefix = "" if tower is None else f"{tower}."
    missing = frozenset(
        name.removeprefix(prefix) for name in report["missing_keys"] if name.startswith(prefix)
    )
    needed = sorted(name for name in missing if name.split(".")[0] not in unused)
    if needed:
        raise EncoderError(
            f"checkpoint '{path}' lacks {len(needed)} weights of {type(model).__name__}, "
            f"the first is '{needed[0]}'; give a checkpoint of that class that this version of "
            "transformers reads whole"
        )
    return Checkpoint(model=getattr(model, tower) if tower else model, missing=missing)


def random_model(config: Any) -> Any:
    """A model of the class that transformers has for a configuration."""
    return AutoModel.from_config(config)  # type: ignore[no-untyped-call]  # untyped there


def save_random_model(config: Any, folder: Path) -> Any:
    """Write such a model to a folder, and return it."""
    model = random_model(config)
    model.save_pretrained(folder)
    return model
