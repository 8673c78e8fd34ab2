"""Small pictures and films, written here."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image


def picture(
    kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (60, 40), **options: Any
) -> bytes:
    """An image file; by default 60 x 40 pixels, the top left quarter red, the rest blue."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 2] = 255
    pixels[: size[1] // 2, : size[0] // 2] = (255, 0, 0)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def film(
    path: Path,
    container: str = "mp4",
    codec: str = "libx264",
    *,
    num_frames: int = 20,
    times: list[int] | None = None,
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction | None = None,
    rate: int = 10,
    sound: str | None = None,
    **codec_options: Any,
) -> bytes:
    """A film whose red grows from frame to frame and whose top left quarter is green."""
    with av.open(path, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options=codec_options)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        track = output.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(_pixels(size, number, num_frames))
            if times is not None:
                frame.pts = times[number]
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if track is not None:
            tone(output, track)
    return path.read_bytes()


def tone(output: av.container.OutputContainer, track: av.AudioStream) -> None:
    """Two seconds of 440 Hz."""
    wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(96000) / 48000)).astype(np.float32)
    for start in range(0, len(wave), 960):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        output.mux(track.encode(frame))
    output.mux(track.encode())


def _pixels(size: tuple[int, int], number: int, num_frames: int) -> np.ndarray:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = number * 240 // num_frames
    pixels[: size[1] // 2, : size[0] // 2] = (0, 255, 0)
    return pixels
