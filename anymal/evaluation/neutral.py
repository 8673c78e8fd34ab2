"""Media that say nothing: a grey image, a black clip, silence, a sensor that reads zero.

Does not choose what to replace; see `controls.py`. Every function turns a signal into a part of the
same kind and size, so that the ordinary path decodes it like any other.
"""

import base64
import io
import wave
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
from PIL import Image as PillowImage

from anymal.errors import DataError
from anymal.protocol.conversation import data_url
from encoders.signals import Audio, Image, Motion, Video

_GREY = (127, 127, 127)


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
    height, width, _ = signal.pixels.shape
    return {"type": "image_url", "image_url": {"url": _grey_png(height, width)}}


def _video(signal: Video) -> dict[str, Any]:
    """A black clip with as many frames, over the same time."""
    count, height, width, _ = signal.frames.shape
    if count == 1 or signal.duration_s == 0:
        return {"type": "video_url", "video_url": {"url": _grey_png(height, width)}}
    rate = Fraction(count / signal.duration_s).limit_denominator(1000)
    return {"type": "video_url", "video_url": {"url": _black_clip(count, height, width, rate)}}


def _audio(signal: Audio) -> dict[str, Any]:
    """Silence of the same length and rate."""
    data = _silence(len(signal.samples), signal.rate_hz)
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def _motion(signal: Motion) -> dict[str, Any]:
    """A sensor that reads zero for the same time; a missing gyroscope stays missing."""
    channels = 6 if signal.present[3:].any() else 3
    samples = np.zeros((len(signal.samples), channels)).tolist()
    return {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": signal.rate_hz}}


NEUTRAL: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Image: _image,
    Video: _video,
    Audio: _audio,
    Motion: _motion,
}


@lru_cache(maxsize=64)
def _grey_png(height: int, width: int) -> str:
    """A grey PNG as a data URL."""
    buffer = io.BytesIO()
    PillowImage.new("RGB", (width, height), _GREY).save(buffer, format="PNG")
    return data_url(buffer.getvalue(), "image/png")


@lru_cache(maxsize=64)
def _black_clip(count: int, height: int, width: int, rate: Fraction) -> str:
    """A black Matroska clip as a data URL."""
    buffer = io.BytesIO()
    black = np.zeros((height, width, 3), dtype=np.uint8)
    with av.open(buffer, mode="w", format="matroska") as container:
        # FFV1 is lossless, takes odd sizes, and comes with every build.
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(stream.encode())
    return data_url(buffer.getvalue(), "video/x-matroska")


@lru_cache(maxsize=256)
def _silence(count: int, rate_hz: int) -> str:
    """A silent 16-bit WAV in base64."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        sound.writeframes(bytes(2 * count))
    return base64.b64encode(buffer.getvalue()).decode("ascii")
