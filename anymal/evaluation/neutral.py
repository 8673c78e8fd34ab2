"""Media that say nothing: a grey image, a black clip, silence, a sensor that reads zero.

Does not choose what to replace; see `controls.py`. Every function turns a signal into a part of the
same kind and size, so that the ordinary path decodes it like any other.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from anymal.errors import DataError
from anymal.evaluation.signal_part import audio_part, image_part, motion_part, video_part
from anymal.media.corrupt import blank
from encoders.signals import Audio, Image, Motion, Video


def neutral_part(signal: Any) -> dict[str, Any]:
    """A part with the neutral medium that matches a signal.

    Args:
        signal: What the record's own medium decodes to.

    Returns:
        A part of the same modality, size, length and rate.

    Raises:
        DataError: If the kind of signal has no neutral medium.
    """
    make = NEUTRAL.get(type(signal))
    if make is None:
        known = ", ".join(kind.__name__ for kind in NEUTRAL)
        raise DataError(
            f"no blank medium for {type(signal).__name__}; known: {known}; "
            "add one in anymal/evaluation/neutral.py or evaluate with --no-controls"
        )
    return make(signal)


def _image(signal: Image) -> dict[str, Any]:
    """A grey image of the same size."""
    return _grey_image(*signal.pixels.shape[:2])


def _video(signal: Video) -> dict[str, Any]:
    """A black clip with as many frames, over the same time; a grey one of a still."""
    count, height, width, _ = signal.frames.shape
    return _flat_clip(count, height, width, signal.duration_s)


def _audio(signal: Audio) -> dict[str, Any]:
    """Silence of the same length and rate."""
    return _silence(len(signal.samples), signal.rate_hz)


def _motion(signal: Motion) -> dict[str, Any]:
    """A sensor that reads zero for the same time."""
    return motion_part(blank(signal))


NEUTRAL: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Image: _image,
    Video: _video,
    Audio: _audio,
    Motion: _motion,
}


@lru_cache(maxsize=64)
def _grey_image(height: int, width: int) -> dict[str, Any]:
    return image_part(blank(Image(pixels=np.zeros((height, width, 3), dtype=np.uint8))))


@lru_cache(maxsize=64)
def _flat_clip(count: int, height: int, width: int, duration_s: float) -> dict[str, Any]:
    frames = np.zeros((count, height, width, 3), dtype=np.uint8)
    times = np.arange(count, dtype=np.float64)
    return video_part(blank(Video(frames=frames, times_s=times, duration_s=duration_s)))


@lru_cache(maxsize=256)
def _silence(count: int, rate_hz: int) -> dict[str, Any]:
    return audio_part(blank(Audio(samples=np.zeros(count, dtype=np.float32), rate_hz=rate_hz)))
