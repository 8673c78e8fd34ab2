"""What an encoder would be, before any weight is loaded: its parameters, its width, its features.

Builds the real model without memory for its weights and reads one blank window with the code that
reads features. Loads no weights and decodes no media.

Shapes: W windows, P features per window, F features per item, D_enc encoder width.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from encoders.base import EncoderError
from encoders.checkpoint import reading
from encoders.drafts import DRAFTS
from encoders.imu.imu2clip import Imu2ClipConfig
from encoders.imu.transformer import ImuTransformerConfig
from encoders.registry import encoder_factory

_OWN_CONFIGS: dict[str, Any] = {
    "imu_transformer": ImuTransformerConfig,
    "imu2clip": Imu2ClipConfig,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Sizes of an encoder.

    Attributes:
        num_parameters: weights of the model, without heads that are not loaded.
        width: D_enc.
        num_features: F, features of the longest media item.
        num_windows: windows of the longest media item.
    """

    num_parameters: int
    width: int
    num_features: int
    num_windows: int


def outline(kind: str, config: Any | None, path: str, **options: Any) -> Outline:
    """Work out an encoder's sizes from its configuration.

    Where `path` is a folder, the size of pictures is that of the processor in it. Of a Hub id, it
    is the configuration's, as published checkpoints have it.

    Args:
        kind: a key of `encoders.registry.ENCODERS`.
        config: the checkpoint's configuration; None reads it from the folder. Kinds that are
            defined here (`imu_transformer`, `imu2clip`) then take their default sizes where
            there is no folder; ImageBind's kinds need no configuration.
        path: a local folder or a Hub id.
        options: keyword arguments of the kind's factory.

    Returns:
        The outline; the same numbers as the encoder that `build_encoder` would return.

    Raises:
        EncoderError: if the kind or an option is unknown or does not fit, the configuration cannot
            be read, or the sizes cannot be told without the checkpoint.
    """
    bound = inspect.signature(encoder_factory(kind, options)).bind(path, **options)
    bound.apply_defaults()
    with reading(kind, path), torch.device("meta"), torch.no_grad():
        if config is None and not kind.startswith("imagebind_"):
            config = _config(kind, path)
        draft = DRAFTS[kind](config, bound.arguments)
        if draft.num_windows < 1:
            raise EncoderError(
                f"encoder '{kind}' looks at {draft.num_windows} windows of a media item; raise "
                "max_windows, num_frames or num_clips to at least 1"
            )
        states = draft.read(draft.model.eval(), draft.tensors).values
    _, per_window, width = states.shape
    return Outline(
        num_parameters=sum(parameter.numel() for parameter in draft.model.parameters()),
        width=width,
        num_features=draft.num_windows * per_window,
        num_windows=draft.num_windows,
    )


def _config(kind: str, path: str) -> Any:
    """The configuration in a folder, or a kind's own default."""
    own = _OWN_CONFIGS.get(kind)
    if Path(path).is_dir():
        return (own or AutoConfig).from_pretrained(path)
    if own is None:
        raise EncoderError(
            f"'{path}' is no local folder; give the configuration of encoder '{kind}' as well"
        )
    return own()
