"""The vision model of a checkpoint: which class it has, and where it stands in a larger model.

Does not choose features; prepares no pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from encoders.base import EncoderError
from encoders.checkpoint import Checkpoint, load_checkpoint, random_model
from encoders.images import write_image_processor
from encoders.vision_read import ReadTokens

# Classes of transformers by the type of their configuration: those that AutoModel does not know,
_UNLISTED = {
    "blip_2_vision_model": "Blip2VisionModel",
    "instructblip_vision_model": "InstructBlipVisionModel",
}
# and those that keep the projection into the space shared with words.
_PROJECTED = {
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "metaclip_2_vision_model": "MetaClip2VisionModelWithProjection",
}
# Larger models name their vision model in one of these ways, some of them twice.
_INSIDE = r"^(model\.)?vision_(model|tower)\.(vision_model\.)?"
# Parts that follow the last layer's tokens; a checkpoint may lack them, features do not need them.
_HEADS = ("pooler", "head")


def load_tower(path: str, read: ReadTokens) -> Checkpoint:
    """Load the vision model of a checkpoint, whatever else it holds.

    Args:
        path: a local folder or a Hub id.
        read: what will be read.

    Returns:
        The model, in float32.

    Raises:
        EncoderError: if the checkpoint lacks weights, or has no projection where one is read.
    """
    whole = AutoConfig.from_pretrained(path)
    config = tower_config(whole, projected=read.projected)
    found = _tower_class(config, projected=read.projected)
    options: dict[str, Any] = {"unused": () if read.pooled else _HEADS}
    if config is not whole:
        inside = {_INSIDE: "vision_model." if read.projected else ""}
        options |= {"config": config, "key_mapping": inside}
    with _without_report():
        return load_checkpoint(found, path, **options)


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from listing other parts of the checkpoint, which are left on purpose."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped there
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def tower_config(config: Any, *, projected: bool = False) -> Any:
    """The configuration of a vision model, from its own or that of a larger model.

    Args:
        config: of a checkpoint.
        projected: whether the projection is read; its width may stand in the larger model's.
    """
    own = getattr(config, "vision_config", config)
    if projected and own is not config and hasattr(config, "projection_dim"):
        own.projection_dim = config.projection_dim
    return own


def random_tower(config: Any, *, projected: bool = False) -> Any:
    """A vision model of random weights.

    Args:
        config: its own.
        projected: with its projection.

    Raises:
        EncoderError: if it has no projection.
    """
    made_of = _tower_class(config, projected=projected)
    return random_model(config) if made_of is AutoModel else made_of(config)


def save_random_tower(config: Any, folder: Path) -> Any:
    """Write a model of random weights with an image processor; see `EncoderKind.save_random`."""
    if hasattr(config, "vision_config"):
        model = random_model(config)
    else:
        model = random_tower(config, projected=config.model_type in _PROJECTED)
    model.save_pretrained(folder)
    write_image_processor(tower_config(config), folder)
    return model


def _tower_class(config: Any, *, projected: bool) -> Any:
    """The class of a vision model."""
    if not projected:
        name = _UNLISTED.get(config.model_type, "AutoModel")
    elif config.model_type in _PROJECTED:
        name = _PROJECTED[config.model_type]
    else:
        raise EncoderError(
            f"projected: true: a {config.model_type} has no projection into a space shared with "
            f"words; leave it out, or choose a checkpoint of {', '.join(_PROJECTED)}"
        )
    return getattr(transformers, name)
