"""Signals as message parts that decode to the same signal again.

Does not change signals; `neutral.py` and `perturb.py` do. Pictures and frames are kept exactly;
sounds are rounded to 16 bits.
"""

import base64
import io
import wave
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from anymal.protocol.conversation import data_url
from encoders.signals import Audio, Image, Motion, Video


def image_part(signal: Image) -> dict[str, Any]:
    """A picture as PNG."""
    return {"type": "image_url", "image_url": {"url": png_url(signal.pixels)}}


def video_part(signal: Video) -> dict[str, Any]:
    """Frames as a lossless film of the same length, or a still as PNG."""
    if len(signal.frames) == 1 or signal.duration_s == 0:
        return {"type": "video_url", "video_url": {"url": png_url(signal.frames[0])}}
    rate = Fraction(len(signal.frames) / signal.duration_s).limit_denominator(1000)
    return {"type": "video_url", "video_url": {"url": film_url(signal.frames, rate)}}


def audio_part(signal: Audio) -> dict[str, Any]:
    """A sound as 16-bit WAV."""
    data = wav_base64(signal.samples, signal.rate_hz)
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def motion_part(signal: Motion) -> dict[str, Any]:
    """A motion recording as rows; a missing gyroscope stays missing."""
    channels = 6 if signal.present[3:].any() else 3
    samples = signal.samples[:, :channels].tolist()
    return {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": signal.rate_hz}}


PARTS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Image: image_part,
    Video: video_part,
    Audio: audio_part,
    Motion: motion_part,
}


def png_url(pixels: NDArray[np.uint8]) -> str:
    """`[H, W, 3]` as a data URL of a PNG."""
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format="PNG")
    return data_url(buffer.getvalue(), "image/png")


def film_url(frames: NDArray[np.uint8], rate: Fraction) -> str:
    """`[F, H, W, 3]` as a data URL of a Matroska film."""
    buffer = io.BytesIO()
    # Without this, Matroska holds a random number, and the same film has another digest.
    options = {"fflags": "+bitexact"}
    with av.open(buffer, mode="w", format="matroska", container_options=options) as container:
        # FFV1 is lossless, takes odd sizes, and comes with every build.
        stream = container.add_stream("ffv1", rate=rate)
        _, stream.height, stream.width, _ = frames.shape
        stream.pix_fmt = "bgr0"  # not a YUV format, which would round colours
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return data_url(buffer.getvalue(), "video/x-matroska")


def wav_base64(samples: NDArray[np.float32], rate_hz: int) -> str:
    """`[N]` in [-1, 1] as base64 of a WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        levels = (samples * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2")
        sound.writeframes(levels.tobytes())
    return base64.b64encode(buffer.getvalue()).decode("ascii")
