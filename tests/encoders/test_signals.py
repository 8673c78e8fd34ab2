import pickle
from typing import Any

import numpy as np
import pytest

from encoders.signals import Audio, Image, Motion, Video

PIXELS = np.zeros((4, 6, 3), np.uint8)
FRAMES = np.zeros((2, 4, 6, 3), np.uint8)
TIMES = np.array([0.0, 0.5])
WAVE = np.array([0.0, -1.0, 1.0], np.float32)
ROWS = np.zeros((5, 6), np.float32)
ALL = np.ones(6, bool)
NO_ROTATION = np.array([True] * 3 + [False] * 3)


def test_good_signals_are_kept_as_they_are() -> None:
    assert Image(pixels=PIXELS).pixels is PIXELS
    assert Audio(samples=WAVE, rate_hz=2).duration_s == 1.5
    assert Video(frames=FRAMES, times_s=TIMES, duration_s=1.0).audio is None
    assert Motion(samples=ROWS, rate_hz=2.5, present=ALL).duration_s == 2.0


def test_signals_travel_between_processes() -> None:
    motion = Motion(samples=ROWS, rate_hz=50.0, present=NO_ROTATION)
    again = pickle.loads(pickle.dumps(motion))
    assert again.rate_hz == 50.0
    assert (again.present == NO_ROTATION).all()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Image, {"pixels": PIXELS.astype(np.float32)}),
        (Image, {"pixels": PIXELS[..., :1]}),
        (Image, {"pixels": PIXELS[:0]}),
        (Image, {"pixels": PIXELS.tolist()}),
        (Audio, {"samples": WAVE.astype(np.float64), "rate_hz": 8000}),
        (Audio, {"samples": WAVE[:0], "rate_hz": 8000}),
        (Audio, {"samples": WAVE * 2, "rate_hz": 8000}),
        (Audio, {"samples": WAVE * np.float32("nan"), "rate_hz": 8000}),
        (Audio, {"samples": WAVE, "rate_hz": 0}),
        (Audio, {"samples": WAVE, "rate_hz": 8000.0}),
        (Video, {"frames": FRAMES, "times_s": TIMES[:1], "duration_s": 1.0}),
        (Video, {"frames": FRAMES, "times_s": TIMES[::-1].copy(), "duration_s": 1.0}),
        (Video, {"frames": FRAMES, "times_s": TIMES, "duration_s": float("nan")}),
        (Video, {"frames": FRAMES, "times_s": TIMES, "duration_s": -1.0}),
        (Motion, {"samples": ROWS[:, :3], "rate_hz": 50.0, "present": ALL}),
        (Motion, {"samples": ROWS / 0.5 + np.inf, "rate_hz": 50.0, "present": ALL}),
        (Motion, {"samples": ROWS + 1, "rate_hz": 50.0, "present": NO_ROTATION}),
        (Motion, {"samples": ROWS, "rate_hz": 50.0, "present": ~ALL}),
        (Motion, {"samples": ROWS, "rate_hz": 0.0, "present": ALL}),
    ],
)
def test_wrong_arrays_are_refused(kind: type, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__}\\."):
        kind(**fields)
