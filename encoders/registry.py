"""The one table of encoder kinds.

Builds nothing itself; each kind's factory lives in that kind's file.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from encoders.ast import build_ast
from encoders.base import Encoder, EncoderError
from encoders.checkpoint import reading
from encoders.clap import build_clap
from encoders.clips import build_videomae, build_vjepa2, build_x_clip
from encoders.imagebind.encoder import (
    build_imagebind_audio,
    build_imagebind_imu,
    build_imagebind_vision,
)
from encoders.imu.encoder import build_imu2clip, build_imu_transformer
from encoders.spectrogram import build_spectrogram
from encoders.video import build_frames
from encoders.vision import build_vision
from encoders.whisper import build_whisper

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "vision": build_vision,
    "frames": build_frames,
    "x_clip": build_x_clip,
    "videomae": build_videomae,
    "vjepa2": build_vjepa2,
    "clap": build_clap,
    "whisper": build_whisper,
    "ast": build_ast,
    "spectrogram": build_spectrogram,
    "imu_transformer": build_imu_transformer,
    "imu2clip": build_imu2clip,
    "imagebind_vision": build_imagebind_vision,
    "imagebind_audio": build_imagebind_audio,
    "imagebind_imu": build_imagebind_imu,
}


def build_encoder(kind: str, path: str, **options: Any) -> Encoder:
    """Build a frozen encoder from a checkpoint.

    Args:
        kind: a key of `ENCODERS`.
        path: a local folder or a Hub id.
        options: keyword arguments of the kind's factory.

    Returns:
        The encoder, on the CPU in float32.

    Raises:
        EncoderError: if the kind or an option is unknown or does not fit the checkpoint, or the
            checkpoint cannot be read.
    """
    factory = encoder_factory(kind, options)
    with reading(kind, path):
        return factory(str(path), **options)


def encoder_factory(kind: str, options: Iterable[str]) -> Callable[..., Encoder]:
    """The factory of a kind, after checking that it takes these options.

    Args:
        kind: a key of `ENCODERS`.
        options: names of keyword arguments.

    Returns:
        The factory.

    Raises:
        EncoderError: if the kind or an option is unknown.
    """
    if kind not in ENCODERS:
        raise EncoderError(f"unknown encoder '{kind}'; known: {', '.join(ENCODERS)}")
    factory = ENCODERS[kind]
    known = [name for name in inspect.signature(factory).parameters if name != "path"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise EncoderError(
            f"unknown option {', '.join(map(repr, unknown))} of encoder '{kind}'; "
            f"known: {', '.join(known)}"
        )
    return factory
