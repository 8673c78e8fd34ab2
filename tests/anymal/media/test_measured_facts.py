"""Measured numbers of sounds and motions, against values worked out by hand."""

import math

import numpy as np
import pytest

from anymal.errors import ConversationError
from anymal.intake.facts import told
from anymal.media.motion_facts import measure_motion
from anymal.media.sound_facts import measure_sound
from encoders.signals import Audio, Image, Motion, Video

RATE = 16_000


def tone(*pitches_hz: float, size: float = 0.5, seconds: float = 1.0) -> Audio:
    """Tones one after the other."""
    time = np.arange(round(seconds * RATE)) / RATE
    waves = [size * np.sin(2 * np.pi * pitch * time) for pitch in pitches_hz]
    return Audio(samples=np.concatenate(waves).astype(np.float32), rate_hz=RATE)


def motion(samples: np.ndarray, rate_hz: float = 50.0) -> Motion:
    return Motion(samples=samples.astype(np.float32), rate_hz=rate_hz, present=np.ones(6, np.bool_))


def test_loudness_of_a_sine() -> None:
    # The root mean square of a sine of size 0.5 is 0.5 / sqrt(2): -9.03 dB.
    assert measure_sound(tone(440)).loudness_db == pytest.approx(-9.031, abs=0.01)
    # Ten times as quiet is 20 dB less.
    assert measure_sound(tone(440, size=0.05)).loudness_db == pytest.approx(-29.031, abs=0.01)


@pytest.mark.parametrize("pitch", [70.0, 110.0, 440.0, 1234.5, 1900.0])
def test_pitch_of_a_sine(pitch: float) -> None:
    found = measure_sound(tone(pitch)).pitch_hz
    assert found == pytest.approx((pitch, pitch), rel=0.01)


def test_pitch_of_a_voice_is_that_of_its_ground_tone() -> None:
    time = np.arange(RATE) / RATE
    wave = sum(0.2 * np.sin(2 * np.pi * 150 * n * time + n) for n in range(1, 6))
    found = measure_sound(Audio(samples=np.asarray(wave, np.float32), rate_hz=RATE)).pitch_hz
    assert found == pytest.approx((150, 150), rel=0.01)


def test_pitch_range_spans_the_tones() -> None:
    assert measure_sound(tone(200, 800)).pitch_hz == pytest.approx((200, 800), rel=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    found = measure_sound(Audio(samples=noise, rate_hz=RATE))
    assert found.pitch_hz is None
    # Evenly spread over [-0.5, 0.5] the root mean square is 0.5 / sqrt(3).
    assert found.loudness_db == pytest.approx(20 * math.log10(0.5 / 3**0.5), abs=0.1)
    silence = measure_sound(Audio(samples=np.zeros(100, np.float32), rate_hz=RATE))
    assert (silence.loudness_db, silence.pitch_hz) == (None, None)


@pytest.mark.parametrize("num_samples", [1, 2, 40])
def test_a_sound_of_a_few_samples_is_measured(num_samples: int) -> None:
    sound = Audio(samples=np.full(num_samples, 0.1, np.float32), rate_hz=RATE)
    assert measure_sound(sound).loudness_db == pytest.approx(-20, abs=0.01)


@pytest.mark.parametrize("rate_hz", [1, 9])
def test_a_sound_of_a_low_rate_is_measured(rate_hz: int) -> None:
    sound = Audio(samples=np.full(20, 0.1, np.float32), rate_hz=rate_hz)
    found = measure_sound(sound)
    assert found.loudness_db == pytest.approx(-20, abs=0.01)
    assert found.pitch_hz is None


def test_acceleration_of_a_phone_that_is_struck() -> None:
    samples = np.zeros((100, 6))
    samples[:, 2] = 10.0
    samples[60] = [3.0, 4.0, 12.0, 9, 9, 9]  # sqrt(9 + 16 + 144) = 13; rotation does not count
    found = measure_motion(motion(samples))
    assert found.mean == pytest.approx((99 * 10 + 13) / 100)
    assert (found.peak, found.peak_s) == (pytest.approx(13.0), pytest.approx(1.2))


@pytest.mark.parametrize("frequency", [0.8, 2.0, 3.3, 11.7])
def test_dominant_frequency_of_a_swing(frequency: float) -> None:
    samples = np.zeros((400, 6))
    samples[:, 2] = 9.8 + 2 * np.sin(2 * np.pi * frequency * np.arange(400) / 50)
    found = measure_motion(motion(samples)).dominant_hz
    assert found == pytest.approx(frequency, abs=0.02)


def test_a_phone_at_rest_has_no_rhythm() -> None:
    samples = np.full((100, 6), 0.01) * np.random.default_rng(0).normal(size=(100, 6))
    samples[:, 2] += 9.81
    assert measure_motion(motion(samples)).dominant_hz is None


def test_words() -> None:
    samples = np.zeros((200, 6))
    samples[:, 2] = 9.8 + 3 * np.sin(2 * np.pi * 2 * np.arange(200) / 50)
    samples[60, 2] = 21.0
    expected = "4.0 s; 50 Hz; mean 9.8, peak 21.0 m/s2 at 1.2 s; dominant 2.0 Hz"
    assert told(motion(samples), name="m") == expected
    assert told(tone(200, 800), name="a") == "2.0 s; 16000 Hz; -9 dB; pitch 200 to 800 Hz"
    silence = Audio(samples=np.zeros(RATE, np.float32), rate_hz=RATE)
    assert told(silence, name="a") == "1.0 s; 16000 Hz; silent"
    film = Video(frames=np.zeros((1, 2, 2, 3), np.uint8), times_s=np.zeros(1), duration_s=3.25)
    assert told(film, name="v") == "3.2 s"


def test_rounding_makes_no_minus_and_no_rate_of_nothing() -> None:
    full = Audio(samples=np.full(RATE, 0.99, np.float32), rate_hz=RATE)
    assert told(full, name="a") == "1.0 s; 16000 Hz; 0 dB"  # -0.09 dB
    still = np.zeros((20, 6))
    words = "50.0 s; 0.4 Hz; mean 0.0, peak 0.0 m/s2 at 0.0 s"
    assert told(motion(still, rate_hz=0.4), name="m") == words
    assert told(motion(still, rate_hz=9.7), name="m").startswith("2.1 s; 10 Hz; ")


def test_a_gyroscope_alone_tells_its_length() -> None:
    present = np.array([False] * 3 + [True] * 3)
    samples = np.zeros((25, 6), np.float32)
    assert told(Motion(samples=samples, rate_hz=50.0, present=present), name="m") == "0.5 s; 50 Hz"


def test_what_has_no_facts_is_refused() -> None:
    with pytest.raises(ConversationError, match=r"x\.npz.*set features=null"):
        told(None, name="x.npz")
    with pytest.raises(ConversationError, match="facts: true is for audio, imu, video"):
        told(Image(pixels=np.zeros((1, 1, 3), np.uint8)), name="x.png")
