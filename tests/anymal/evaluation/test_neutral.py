from typing import Any

import numpy as np
import pytest

from anymal.errors import DataError
from anymal.evaluation.neutral import neutral_part
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.protocol.conversation import read_conversation
from encoders.signals import Audio, Image, Motion, Signal, Video


def decoded(part: dict[str, Any], **hints: int) -> Any:
    conversation = read_conversation({"messages": [{"role": "user", "content": [part]}]})
    (read,) = conversation.messages[0].parts
    row = next(row for row in MODALITIES.values() if read.type in row.part_types)
    medium = read_medium(read, limits=Limits(), base_dir=None)  # type: ignore[arg-type]
    return row.decode(medium, Limits(), **hints)


def test_image_becomes_grey_of_the_same_size() -> None:
    pixels = np.random.randint(0, 256, (7, 11, 3), dtype=np.uint8)
    blank = decoded(neutral_part(Image(pixels=pixels)))
    assert blank.pixels.shape == (7, 11, 3)
    assert (blank.pixels == 127).all()


def test_sound_becomes_silence_of_the_same_length() -> None:
    samples = np.random.uniform(-1, 1, 1234).astype(np.float32)
    blank = decoded(neutral_part(Audio(samples=samples, rate_hz=8000)))
    assert (len(blank.samples), blank.rate_hz) == (1234, 8000)
    assert not blank.samples.any()


@pytest.mark.parametrize("duration_s", [2.0, 0.7])
def test_clip_becomes_black_of_the_same_time(duration_s: float) -> None:
    frames = np.random.randint(0, 256, (8, 33, 47, 3), dtype=np.uint8)
    times = np.arange(8) * duration_s / 8
    blank = decoded(
        neutral_part(Video(frames=frames, times_s=times, duration_s=duration_s)), num_frames=8
    )
    assert blank.frames.shape == frames.shape
    assert not blank.frames.any()
    assert blank.duration_s == pytest.approx(duration_s, abs=0.02)


def test_still_video_becomes_a_still() -> None:
    frames = np.full((1, 8, 8, 3), 200, dtype=np.uint8)
    still = Video(frames=frames, times_s=np.zeros(1), duration_s=0.0)
    blank = decoded(neutral_part(still), num_frames=8)
    assert blank.frames.shape == frames.shape
    assert blank.frames.std() == 0
    assert blank.duration_s == 0


@pytest.mark.parametrize("num_channels", [3, 6])
def test_motion_becomes_zero_of_the_same_shape(num_channels: int) -> None:
    present = np.arange(6) < num_channels
    samples = np.random.randn(128, 6).astype(np.float32) * present
    motion = Motion(samples=samples.astype(np.float32), rate_hz=50.0, present=present)
    blank = decoded(neutral_part(motion))
    assert blank.samples.shape == (128, 6)
    assert not blank.samples.any()
    assert blank.rate_hz == 50.0
    assert (blank.present == present).all()


def test_every_signal_has_a_neutral_one() -> None:
    with pytest.raises(DataError, match=r"no blank medium for str.*--no-controls"):
        neutral_part("smell")
    for kind in Signal.__args__:
        assert kind.__name__ in {"Image", "Video", "Audio", "Motion"}
