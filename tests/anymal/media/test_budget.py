"""What all media of a request may hold together."""

import numpy as np
import pytest

from anymal.errors import MediaTooLarge
from anymal.media.budget import Budget, RequestLimits
from encoders.signals import Audio, Image, Motion, Signal, Video

IMAGE = Image(pixels=np.zeros((10, 20, 3), np.uint8))
FRAMES = np.zeros((2, 10, 20, 3), np.uint8)
VIDEO = Video(frames=FRAMES, times_s=np.array([0.0, 1.0]), duration_s=60.0)
AUDIO = Audio(samples=np.zeros(600, np.float32), rate_hz=10)
MOTION = Motion(samples=np.zeros((100, 6), np.float32), rate_hz=50.0, present=np.ones(6, bool))


@pytest.mark.parametrize(
    ("signals", "limits", "what"),
    [
        ([IMAGE, IMAGE], RequestLimits(max_pixels=400), "pixels"),
        ([IMAGE, VIDEO], RequestLimits(max_pixels=600), "pixels"),
        ([AUDIO, MOTION], RequestLimits(max_samples=1200), "samples"),
        ([AUDIO, VIDEO], RequestLimits(max_seconds=120), "seconds"),
    ],
)
def test_signals_are_added_up(signals: list[Signal], limits: RequestLimits, what: str) -> None:
    budget = Budget(limits)
    for signal in signals:
        budget.count_signal(signal)
    with pytest.raises(MediaTooLarge, match=rf"together: found [\d,]+ {what} or more"):
        budget.count_signal(signals[-1])


def test_files_and_their_bytes_are_added_up() -> None:
    budget = Budget(RequestLimits(max_files=2, max_bytes=100))
    budget.check_files(2)
    budget.count_file(60)
    budget.count_file(40)
    with pytest.raises(MediaTooLarge, match="101 bytes"):
        budget.count_file(1)
    with pytest.raises(MediaTooLarge, match="3 files"):
        budget.check_files(3)


def test_without_limits_nothing_is_refused() -> None:
    budget = Budget()
    budget.check_files(10**9)
    budget.count_file(10**15)
    for signal in (IMAGE, VIDEO, AUDIO, MOTION, object()):
        budget.count_signal(signal)
