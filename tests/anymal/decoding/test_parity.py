"""The signal of the pool is that of this process, bit for bit, and so are its mistakes."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from anymal.decoding.medium import decode_medium
from anymal.decoding.pool import DecoderPool
from anymal.errors import MediaError
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import MODALITIES, Medium

PREPROCESSOR = SimpleNamespace(num_frames=4)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def film() -> bytes:
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), dtype=np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=7)
        stream.width, stream.height = 48, 32
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2))
    soundfile.write(file, samples, 11025, format="FLAC")
    return file.getvalue()


def recording() -> bytes:
    rows = np.random.default_rng(0).normal(size=(90, 4))
    rows[:, 0] = np.arange(90) / 45
    lines = [",".join(map(str, row)) for row in rows]
    return "\n".join(["t_s,ax,ay,az", *lines]).encode()


FILES: dict[str, Callable[[], bytes]] = {
    "image": picture,
    "video": film,
    "audio": sound,
    "imu": recording,
}


def equal(one: Any, other: Any) -> None:
    """Two signals are of one kind and hold the same, to the last bit and with the same types."""
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert type(mine) is type(theirs), field.name
        if isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), field.name
            assert mine.tobytes() == theirs.tobytes(), field.name
            assert mine.flags.writeable, field.name
        else:
            assert mine == theirs, field.name


def both(pool: DecoderPool, medium: Medium, modality: str) -> Iterator[Any]:
    for decode in (decode_medium, pool.decode):
        yield decode(medium, PREPROCESSOR, modality=modality, limits=Limits())


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_file_of_each_modality(pool: DecoderPool, modality: str) -> None:
    medium = Medium(source=Source(name=f"a file of {modality}", data=FILES[modality]()))
    equal(*both(pool, medium, modality))


def test_rows_with_their_options(pool: DecoderPool) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 6)).tolist()
    medium = Medium(source=None, samples=rows, options={"rate_hz": 30.0})
    equal(*both(pool, medium, "imu"))


@pytest.mark.parametrize("modality", MODALITIES)
def test_mistakes_keep_their_class_and_their_words(pool: DecoderPool, modality: str) -> None:
    medium = Medium(source=Source(name="half", data=FILES[modality]()[:20]))
    told = []
    for decode in (decode_medium, pool.decode):
        with pytest.raises(MediaError) as caught:
            decode(medium, PREPROCESSOR, modality=modality, limits=Limits())
        error = caught.value
        told.append((type(error), error.source, error.found, error.accepted))
    assert told[0] == told[1]
    assert told[0][1] == "half"
