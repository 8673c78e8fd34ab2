"""When features were seen, against times worked out by hand."""

import numpy as np
import torch

from encoders.base import Layout
from encoders.signals import Audio, Motion, Video
from encoders.times import FrameTimes, RealFrom, RealGrid, WindowTimes


def film(*times_s: float) -> Video:
    frames = np.zeros((len(times_s), 2, 2, 3), np.uint8)
    return Video(frames=frames, times_s=np.array(times_s), duration_s=times_s[-1] + 0.5)


def test_each_patch_of_a_frame_has_the_frames_time() -> None:
    times = FrameTimes(num_frames=2, layout=lambda tensors: Layout(views=2, rows=1, columns=2))
    assert times(film(0.1, 0.6, 1.1), {}).tolist() == [0.1, 0.1, 1.1, 1.1]


def test_a_short_film_keeps_the_frames_that_it_has() -> None:
    times = FrameTimes(num_frames=4, layout=None, num_features=1)
    assert times(film(0.25, 0.75), {}).tolist() == [0.25, 0.75]


def test_a_clip_repeats_frames_and_takes_the_mean_of_a_tubelet() -> None:
    times = FrameTimes(num_frames=4, layout=None, num_features=2, repeats=True, frames_together=2)
    # Frames 0, 0, 1, 1 of two, in pairs.
    assert times(film(0.25, 0.75), {}).tolist() == [0.25, 0.25, 0.75, 0.75]


def motion(num_samples: int) -> Motion:
    return Motion(
        samples=np.ones((num_samples, 6), np.float32), rate_hz=10.0, present=np.ones(6, np.bool_)
    )


def windows(slack_s: float = 0.0) -> WindowTimes:
    """Windows of 1 s at 10 Hz, in two halves."""
    return WindowTimes(
        middles_s=(0.25, 0.75),
        window_s=1.0,
        hop_s=1.0,
        slack_s=slack_s,
        real=RealFrom(starts=(0, 5)),
    )


def test_windows_follow_each_other_and_padding_is_left_out() -> None:
    found = windows()(motion(23), {"num_real": torch.tensor([10, 10, 3])})
    assert found.tolist() == [0.25, 0.75, 1.25, 1.75, 2.25]


def test_windows_of_a_long_recording_are_where_they_were_cut() -> None:
    # 50 windows, of which 3 are kept: the first, the 25th (24.5 rounds to even) and the last.
    found = windows()(motion(500), {"num_real": torch.tensor([10, 10, 10])})
    assert found.tolist() == [0.25, 0.75, 24.25, 24.75, 49.25, 49.75]


def test_a_window_that_slack_left_out_does_not_count() -> None:
    found = windows(slack_s=0.1)(motion(31), {"num_real": torch.tensor([10, 10, 10])})
    assert found.tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]


def test_all_bands_of_a_column_have_its_time() -> None:
    grid = WindowTimes(
        middles_s=(0.25, 0.25, 0.75, 0.75),
        window_s=1.0,
        hop_s=1.0,
        slack_s=0.0,
        real=RealGrid(columns=2, rows=2),
    )
    sound = Audio(samples=np.zeros(4, np.float32), rate_hz=10)
    found = grid(sound, {"real": torch.tensor([[True, True, False, False]])})
    assert found.tolist() == [0.25, 0.25]
