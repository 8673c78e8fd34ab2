"""Small files of every kind, written by the tests themselves."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """An image file; by default 60 x 40 pixels, the top left quarter red, the rest blue."""

    def build(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (60, 40), **options):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[..., 2] = 255
        pixels[: size[1] // 2, : size[0] // 2] = (255, 0, 0)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).convert(mode).save(file, kind, **options)
        return file.getvalue()

    return build


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A film whose red grows from frame to frame and whose top left quarter is green."""
    folder = tmp_path_factory.mktemp("films")

    def build(
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
        path = folder / "film"
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
                _tone(output, track)
        return path.read_bytes()

    return build


@pytest.fixture(scope="session")
def sound() -> Callable[..., bytes]:
    """A sound file; by default a second and a half of a 440 Hz tone at half of full scale."""

    def build(
        kind: str = "WAV",
        subtype: str | None = None,
        samples: np.ndarray | None = None,
        rate_hz: int = 16000,
    ) -> bytes:
        if samples is None:
            samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(1.5 * rate_hz)) / rate_hz)
        file = io.BytesIO()
        soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
        return file.getvalue()

    return build


@pytest.fixture(scope="session")
def track(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Two seconds of tone in a container that only FFmpeg writes."""
    path = tmp_path_factory.mktemp("tracks") / "track"

    def build(container: str = "ipod", codec: str = "aac") -> bytes:
        with av.open(path, "w", format=container) as output:
            _tone(output, output.add_stream(codec, rate=48000, layout="mono"))
        return path.read_bytes()

    return build


@pytest.fixture(scope="session")
def array_file() -> Callable[[np.ndarray], bytes]:
    """A .npy file."""

    def build(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    return build


@pytest.fixture(scope="session")
def archive() -> Callable[..., bytes]:
    """A .npz file."""

    def build(**arrays: Any) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    return build


@pytest.fixture(scope="session")
def table() -> Callable[..., bytes]:
    """A CSV file of a header, or none, and columns of numbers."""

    def build(header: str, *columns: np.ndarray, delimiter: str = ",") -> bytes:
        rows = [
            delimiter.join(f"{value:.6f}" for value in row) for row in zip(*columns, strict=True)
        ]
        return "\n".join([header, *rows] if header else rows).encode() + b"\n"

    return build


def _pixels(size: tuple[int, int], number: int, num_frames: int) -> np.ndarray:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = number * 240 // num_frames
    pixels[: size[1] // 2, : size[0] // 2] = (0, 255, 0)
    return pixels


def _tone(output: av.container.OutputContainer, track: av.AudioStream) -> None:
    wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(96000) / 48000)).astype(np.float32)
    for start in range(0, len(wave), 960):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        output.mux(track.encode(frame))
    output.mux(track.encode())
