"""Small files of every kind, written by the tests themselves."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from tests.anymal.media import made


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """An image file; by default 60 x 40 pixels, the top left quarter red, the rest blue."""
    return made.picture


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A film whose red grows from frame to frame and whose top left quarter is green."""
    return partial(made.film, tmp_path_factory.mktemp("films") / "film")


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
            made.tone(output, output.add_stream(codec, rate=48000, layout="mono"))
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
