import numpy as np
import pytest

from encoders.resample import resample_audio, resample_motion
from encoders.signals import Audio, Motion

ALL = np.ones(6, bool)
GRAVITY = 9.80665


def tone(rate_hz: float, pitch_hz: float, num_samples: int) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(num_samples) / rate_hz)
    return wave.astype(np.float32)


def motion(rate_hz: float, pitch_hz: float, num_samples: int) -> Motion:
    samples = np.zeros((num_samples, 6), np.float32)
    samples[:, 0] = tone(rate_hz, pitch_hz, num_samples)
    samples[:, 2] = GRAVITY
    return Motion(samples=samples, rate_hz=rate_hz, present=ALL)


@pytest.mark.parametrize("new_hz", [8000, 11025, 16000, 44100, 48000])
def test_a_tone_keeps_pitch_phase_and_length(new_hz: int) -> None:
    audio = resample_audio(Audio(samples=tone(16000, 440, 8000), rate_hz=16000), new_hz)
    assert audio.rate_hz == new_hz
    assert len(audio.samples) == round(new_hz / 2)
    inner = slice(len(audio.samples) // 4, -len(audio.samples) // 4)
    assert audio.samples[inner] == pytest.approx(tone(new_hz, 440, new_hz // 2)[inner], abs=1e-3)


def test_what_the_new_rate_cannot_hold_is_removed() -> None:
    audio = resample_audio(Audio(samples=tone(16000, 6000, 8000), rate_hz=16000), 8000)
    assert np.abs(audio.samples[200:-200]).max() < 1e-3
    recording = resample_motion(motion(200.0, 40.0, 2000), 50.0)
    assert np.abs(recording.samples[50:-50, 0]).max() < 1e-3


def test_overshoot_is_clipped() -> None:
    square = np.sign(tone(8000, 100, 8000)).astype(np.float32)
    audio = resample_audio(Audio(samples=square, rate_hz=8000), 44100)
    assert np.abs(audio.samples).max() == 1.0


@pytest.mark.parametrize(
    ("old_hz", "new_hz"),
    [(50, 200), (52.37, 200), (200, 50), (100, 33.3), (29.97, 30), (1, 200), (10_000, 50)],
)
@pytest.mark.parametrize("num_samples", [1, 2, 3, 7, 500])
def test_gravity_stays_up_to_the_edges(old_hz: float, new_hz: float, num_samples: int) -> None:
    recording = resample_motion(motion(float(old_hz), 0.0, num_samples), new_hz)
    assert recording.rate_hz == new_hz
    assert len(recording.samples) == max(1, round(num_samples * new_hz / old_hz))
    assert recording.samples[:, 2] == pytest.approx(GRAVITY, abs=1e-4)


@pytest.mark.parametrize(
    ("old_hz", "new_hz"), [(50, 200), (52.37, 200), (200, 50), (100, 33.3), (29.97, 30)]
)
def test_motion_is_not_shifted_in_time(old_hz: float, new_hz: float) -> None:
    pitch_hz = 0.1 * min(old_hz, new_hz)
    recording = resample_motion(motion(float(old_hz), pitch_hz, 1000), new_hz)
    expected = tone(new_hz, pitch_hz, len(recording.samples))
    inner = slice(len(expected) // 4, -len(expected) // 4)
    assert recording.samples[inner, 0] == pytest.approx(expected[inner], abs=2e-3)


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_the_shortest_sounds_come_through(num_samples: int) -> None:
    short = Audio(samples=np.full(num_samples, 0.3, np.float32), rate_hz=48000)
    assert len(resample_audio(short, 16000).samples) == max(1, round(num_samples / 3))


def test_missing_channels_stay_zero() -> None:
    present = np.array([True] * 3 + [False] * 3)
    given = motion(50.0, 5.0, 100)
    recording = resample_motion(Motion(samples=given.samples, rate_hz=50.0, present=present), 47.3)
    assert (recording.present == present).all()
    assert not recording.samples[:, 3:].any()


def test_the_right_rate_changes_nothing() -> None:
    audio, recording = Audio(samples=tone(8000, 1, 9), rate_hz=8000), motion(50.0, 1.0, 9)
    assert resample_audio(audio, 8000) is audio
    assert resample_motion(recording, 50.0) is recording


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan"), float("inf")])
def test_impossible_rates_are_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="rate_hz must be positive"):
        resample_motion(motion(50.0, 1.0, 9), rate_hz)
