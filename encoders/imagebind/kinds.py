"""The encoder kinds that ImageBind's checkpoint brings, one for each trunk.

Shapes: W windows.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from encoders.base import Encoder
from encoders.imagebind.checkpoint import read_shape, save_random
from encoders.imagebind.encoder import (
    build_imagebind_audio,
    build_imagebind_imu,
    build_imagebind_vision,
    read_trunk,
)
from encoders.imagebind.trunk import (
    IMAGE_SIZE,
    IMU_CHANNELS,
    IMU_SAMPLES,
    NUM_MEL_FRAMES,
    NUM_MELS,
    ImageBindShape,
    ImageBindTrunk,
    TrunkName,
)
from encoders.kind import EncoderKind, Unloaded

# Of one window.
_SHAPES: dict[TrunkName, tuple[int, ...]] = {
    "vision": (1, 3, IMAGE_SIZE, IMAGE_SIZE),
    "audio": (1, 1, NUM_MELS, NUM_MEL_FRAMES),
    "imu": (1, IMU_CHANNELS, IMU_SAMPLES),
}


def _kind(name: TrunkName, build: Callable[..., Encoder]) -> EncoderKind:
    """The kind of one trunk; its configuration is the shape of the whole checkpoint."""
    return EncoderKind(
        build=build,
        unloaded=partial(_unloaded, name),
        usual_config=ImageBindShape,
        save_random=partial(_save_random, name),
        read_config=read_shape,
        tiny_config=ImageBindShape.tiny,
    )


def _unloaded(name: TrunkName, shape: ImageBindShape, options: Mapping[str, Any]) -> Unloaded:
    read = read_trunk(
        name, layer=options["layer"], drop_cls=options["drop_cls"], pooled=options["pooled"]
    )
    return Unloaded(
        model=ImageBindTrunk(name, shape),
        read=read,
        window={read.argument: torch.zeros(_SHAPES[name])},
        num_windows=options.get("num_clips", options.get("max_windows", 1)),
    )


def _save_random(name: TrunkName, shape: ImageBindShape, folder: Path) -> nn.Module:
    return save_random(folder, shape)[name]


IMAGEBIND_VISION = _kind("vision", build_imagebind_vision)
IMAGEBIND_AUDIO = _kind("audio", build_imagebind_audio)
IMAGEBIND_IMU = _kind("imu", build_imagebind_imu)
