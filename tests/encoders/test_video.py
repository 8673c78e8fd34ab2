from collections.abc import Callable

import numpy as np
import pytest
import torch

from encoders.base import EncoderError, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Image, Video
from encoders.video import uniform_frames

Find = Callable[[str], str]


def film(num_frames: int) -> Video:
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 40, 50, 3), dtype=np.uint8)
    return Video(frames=frames, times_s=np.arange(num_frames) / 2, duration_s=num_frames / 2)


def test_a_frame_reads_like_the_same_image(checkpoint: Find) -> None:
    frames = build_encoder("frames", checkpoint("clip"), num_frames=4)
    vision = build_encoder("vision", checkpoint("clip"))
    video = film(4)
    features = frames(stack_inputs([frames.preprocessor(video)]))
    image = vision(stack_inputs([vision.preprocessor(Image(pixels=video.frames[2]))]))
    torch.testing.assert_close(features.values[0, features.steps[0] == 2], image.values[0])


def test_steps_count_frames(checkpoint: Find) -> None:
    encoder = build_encoder("frames", checkpoint("clip"), num_frames=3, pool=1)
    features = encoder(stack_inputs([encoder.preprocessor(film(n)) for n in (9, 2)]))
    assert features.steps.tolist() == [[0, 1, 2], [0, 1, 0]]
    assert features.mask.tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize(
    ("num_frames", "wanted", "chosen"),
    [(9, 3, [0, 4, 8]), (1, 3, [0, 0, 0]), (3, 6, [0, 0, 1, 1, 2, 2]), (5, 1, [0])],
)
def test_frames_are_chosen_evenly(num_frames: int, wanted: int, chosen: list[int]) -> None:
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    assert uniform_frames(frames, wanted).flatten().tolist() == chosen


def test_no_frames_are_refused(checkpoint: Find) -> None:
    with pytest.raises(EncoderError, match="num_frames=0 must be at least 1"):
        build_encoder("frames", checkpoint("clip"), num_frames=0)
