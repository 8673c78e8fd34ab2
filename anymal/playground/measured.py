"""Motions and sounds whose numbers are asked for: duration, peak, rhythm, pitch.

Facts first; the signals are made so that what is measured of them is what was drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymal.playground import motions, sounds
from anymal.playground.question import Question, ask

SECONDS = (2, 3, 4, 5)
PEAKS = (15, 20, 25, 30, 35)  # m/s2, gravity included
RHYTHMS = (1, 2, 3, 4, 5)  # Hz
PITCHES = (200, 400, 600, 800, 1000)  # Hz


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMotion:
    """A phone that swings up and down, and is struck once."""

    seconds: int
    peak: int
    rhythm_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSound:
    """A steady tone."""

    seconds: int
    pitch_hz: int


def draw_motion(rng: np.random.Generator) -> MeasuredMotion:
    """Draw the facts of a motion."""
    return MeasuredMotion(
        seconds=int(rng.choice(SECONDS)),
        peak=int(rng.choice(PEAKS)),
        rhythm_hz=int(rng.choice(RHYTHMS)),
    )


def draw_sound(rng: np.random.Generator) -> MeasuredSound:
    """Draw the facts of a sound."""
    return MeasuredSound(seconds=int(rng.choice(SECONDS)), pitch_hz=int(rng.choice(PITCHES)))


def render_motion(motion: MeasuredMotion, rng: np.random.Generator) -> NDArray[np.float32]:
    """[N, 6] float32 at `motions.RATE_HZ`: the swing, and one sample as strong as the peak."""
    num_samples = motion.seconds * motions.RATE_HZ
    time = np.arange(num_samples) / motions.RATE_HZ
    samples = np.zeros((num_samples, 6))
    phase = 2 * np.pi * (motion.rhythm_hz * time + rng.random())
    samples[:, 2] = motions.GRAVITY + rng.uniform(3.0, 4.5) * np.sin(phase)
    noise = np.array([0.03] * 3 + [0.01] * 3)
    samples += rng.normal(size=samples.shape) * noise
    samples[int(rng.uniform(0.2, 0.8) * num_samples), :3] = (0, 0, motion.peak)
    return samples.astype(np.float32)


def render_sound(sound: MeasuredSound, rng: np.random.Generator) -> NDArray[np.float32]:
    """[N] float32 at `sounds.RATE_HZ`."""
    time = np.arange(sound.seconds * sounds.RATE_HZ) / sounds.RATE_HZ
    size = 10 ** rng.uniform(-1.0, -0.1)
    wave = size * np.sin(2 * np.pi * (sound.pitch_hz * time + rng.random()))
    return (wave + rng.normal(size=len(time)) * 1e-4).clip(-1, 1).astype(np.float32)


def ask_about_motion(motion: MeasuredMotion, rng: np.random.Generator) -> Question:
    """Its duration, its peak or its rhythm."""
    pick = int(rng.integers(3))
    if pick == 0:
        return _ask_seconds("recording", motion.seconds, rng)
    if pick == 1:
        return _ask_number(
            ("What is the peak acceleration?", "How strong is the peak?"),
            f"The peak is {motion.peak} m/s2.",
            motion.peak,
            PEAKS,
            task="numbers peak",
            rng=rng,
        )
    return _ask_number(
        ("What is the dominant frequency?", "How many times a second does it swing?"),
        f"It swings at {motion.rhythm_hz} Hz.",
        motion.rhythm_hz,
        RHYTHMS,
        task="numbers rhythm",
        rng=rng,
    )


def ask_about_sound(sound: MeasuredSound, rng: np.random.Generator) -> Question:
    """Its duration or its pitch."""
    if rng.random() < 0.5:
        return _ask_seconds("sound", sound.seconds, rng)
    return _ask_number(
        ("What is the pitch of the tone?", "How high is the tone?"),
        f"The pitch is {sound.pitch_hz} Hz.",
        sound.pitch_hz,
        PITCHES,
        task="numbers pitch",
        rng=rng,
    )


def _ask_seconds(noun: str, seconds: int, rng: np.random.Generator) -> Question:
    return _ask_number(
        (f"How long is the {noun}?", f"How many seconds does the {noun} last?"),
        f"It lasts {seconds} s.",
        seconds,
        SECONDS,
        task="numbers duration",
        rng=rng,
    )


def _ask_number(
    phrasings: tuple[str, ...],
    answer: str,
    expected: int,
    choices: tuple[int, ...],
    *,
    task: str,
    rng: np.random.Generator,
) -> Question:
    """A question whose answer is one of a few numbers."""
    words = tuple(map(str, choices))
    return ask(rng, phrasings, answer, task=task, expected=str(expected), choices=words)
