"""The one table of encoder kinds, and those of other packages.

Each kind is declared in its own file; see `encoders.kind` for what it brings.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from encoders.ast import AST
from encoders.base import Encoder, EncoderError
from encoders.checkpoint import reading
from encoders.clap import CLAP
from encoders.clips import VIDEOMAE, VJEPA2, X_CLIP
from encoders.imagebind.kinds import IMAGEBIND_AUDIO, IMAGEBIND_IMU, IMAGEBIND_VISION
from encoders.imu.encoder import IMU2CLIP, IMU_TRANSFORMER
from encoders.kind import EncoderKind
from encoders.pixels import PIXELS
from encoders.plugins import PluginError, find
from encoders.spectrogram import SPECTROGRAM
from encoders.tiles import TILES
from encoders.video import FRAMES
from encoders.vision import VISION
from encoders.whisper import WHISPER

ENCODER_GROUP = "anymal.encoders"
ENCODERS: dict[str, EncoderKind] = {
    "vision": VISION,
    "tiles": TILES,
    "pixels": PIXELS,
    "frames": FRAMES,
    "x_clip": X_CLIP,
    "videomae": VIDEOMAE,
    "vjepa2": VJEPA2,
    "clap": CLAP,
    "whisper": WHISPER,
    "ast": AST,
    "spectrogram": SPECTROGRAM,
    "imu_transformer": IMU_TRANSFORMER,
    "imu2clip": IMU2CLIP,
    "imagebind_vision": IMAGEBIND_VISION,
    "imagebind_audio": IMAGEBIND_AUDIO,
    "imagebind_imu": IMAGEBIND_IMU,
}


def encoder_kind(name: str) -> EncoderKind:
    """Find a kind.

    Args:
        name: a key of `ENCODERS`, an entry point in the group `anymal.encoders`, or `module:name`
            of an `EncoderKind`; see `encoders.plugins` for who may name which.

    Raises:
        EncoderError: if there is none of this name.
    """
    try:
        return find(name, ENCODERS, what="encoder", group=ENCODER_GROUP, wanted=EncoderKind)
    except PluginError as error:
        raise EncoderError(str(error)) from error


def build_encoder(kind: str, path: str | None, **options: Any) -> Encoder:
    """Build a frozen encoder from a checkpoint.

    Args:
        kind: as in `encoder_kind`.
        path: a local folder or a Hub id; None for a kind that needs none.
        options: keyword arguments of the kind's `build`.

    Returns:
        The encoder, on the CPU in float32.

    Raises:
        EncoderError: if the kind or an option is unknown or does not fit the checkpoint, or the
            checkpoint cannot be read.
    """
    found = encoder_kind(kind)
    check_options(kind, found, path, options)
    with reading(kind, path):
        return found.build(None if path is None else str(path), **options)


def check_options(
    name: str, kind: EncoderKind, path: str | None, options: Mapping[str, Any]
) -> None:
    """Refuse options that a kind does not have, and no path where it needs one.

    Args:
        name: of the kind.
        kind: the kind.
        path: of the checkpoint.
        options: keyword arguments.

    Raises:
        EncoderError: if its `build` does not take one of them, or takes a path.
    """
    if path is None and kind.has_weights:
        raise EncoderError(
            f"encoder '{name}' needs a path; give the folder or Hub id of a checkpoint"
        )
    known = [option for option in inspect.signature(kind.build).parameters if option != "path"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise EncoderError(
            f"unknown option {', '.join(map(repr, unknown))} of encoder '{name}'; "
            f"known: {', '.join(known)}"
        )
