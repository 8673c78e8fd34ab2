"""Motions: what a phone's accelerometer and gyroscope feel, simulated.

Facts first; the six channels, their description and their questions follow from them.
Accelerations are in m/s2 and include gravity, rotations are in rad/s. Files are CSV.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anymal.playground.question import Question, ask

RATE_HZ = 50
NUM_SAMPLES = 128
GRAVITY = 9.80665
KINDS = ("still", "walking", "shaking", "turning left", "turning right", "falling")
PACES = ("slow", "fast")
_CADENCE_HZ = {"slow": (1.2, 1.6), "fast": (2.3, 2.9)}
HEADER = "t_s,ax,ay,az,gx,gy,gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneMotion:
    """How the phone moves; pace only for walking."""

    kind: str
    pace: str = ""


def draw_motion(rng: np.random.Generator) -> PhoneMotion:
    """Draws the facts of one motion."""
    kind = str(rng.choice(KINDS, p=[0.15, 0.25, 0.15, 0.15, 0.15, 0.15]))
    pace = str(rng.choice(PACES)) if kind == "walking" else ""
    return PhoneMotion(kind=kind, pace=pace)


def render_motion(motion: PhoneMotion, rng: np.random.Generator) -> NDArray[np.float32]:
    """Simulates the sensor: [NUM_SAMPLES, 6] float32, m/s2 and rad/s.

    The phone lies face up, tilted a little, so that turning is about its z axis.
    """
    t = np.arange(NUM_SAMPLES) / RATE_HZ
    linear = np.zeros((NUM_SAMPLES, 3))
    rotation = np.zeros((NUM_SAMPLES, 3))
    weight = np.ones(NUM_SAMPLES)
    if motion.kind == "walking":
        cadence = rng.uniform(*_CADENCE_HZ[motion.pace])
        phase = 2 * np.pi * (cadence * t + rng.random())
        strength = rng.uniform(1.5, 3.0)
        linear[:, 2] = strength * (np.sin(phase) + 0.4 * np.sin(2 * phase + 1))
        linear[:, 0] = 0.5 * strength * np.sin(phase / 2)
        rotation[:, 1] = rng.uniform(0.3, 0.7) * np.sin(phase / 2)
    elif motion.kind == "shaking":
        phase = 2 * np.pi * (rng.uniform(4.5, 7.0) * t + rng.random())
        axis = _unit(rng)
        linear += rng.uniform(12, 22) * np.sin(phase)[:, None] * axis
        rotation += rng.uniform(1.0, 2.5) * np.cos(phase)[:, None] * _unit(rng)
    elif motion.kind.startswith("turning"):
        sign = 1 if motion.kind == "turning left" else -1
        rotation[:, 2] = sign * rng.uniform(1.0, 2.5) * np.sin(np.pi * t / t[-1]) ** 0.5
    elif motion.kind == "falling":
        start = int(rng.integers(25, 60))
        end = start + int(rng.integers(18, 28))
        weight[start:end] = 0.03
        linear[end : end + 3, 2] += rng.uniform(20, 45)
        rotation[start:end] += rng.uniform(-3, 3, 3)
    tilt = _tilt(rng)
    samples = np.hstack([(linear + weight[:, None] * [0, 0, GRAVITY]) @ tilt.T, rotation @ tilt.T])
    noise = np.array([0.03] * 3 + [0.01] * 3) * rng.uniform(0.5, 2.0)
    return (samples + rng.normal(size=samples.shape) * noise).astype(np.float32)


def _unit(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random direction in space."""
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _tilt(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rotation by about ten degrees around a horizontal axis."""
    angle, heading = rng.normal() * 0.17, rng.uniform(0, 2 * np.pi)
    return rotation_matrix(np.array([np.cos(heading), np.sin(heading), 0.0]), angle)


def rotation_matrix(axis: NDArray[np.float64], angle_rad: float) -> NDArray[np.float64]:
    """Rotation about a unit axis (Rodrigues' formula): [3, 3]."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned = np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    return np.asarray(turned, dtype=np.float64)


def to_csv(samples: NDArray[np.float32], rate_hz: float = RATE_HZ) -> bytes:
    """The samples as the bytes of a CSV file with time in seconds."""
    rows = [HEADER]
    for index, row in enumerate(samples):
        rows.append(f"{index / rate_hz:.4f}," + ",".join(f"{value:.4f}" for value in row))
    return ("\n".join(rows) + "\n").encode()


def describe_motion(motion: PhoneMotion) -> str:
    """The words that stand for the motion."""
    if motion.kind == "walking":
        return f"the phone walking at a {motion.pace} pace"
    return f"the phone {'lying still' if motion.kind == 'still' else motion.kind}"


def ask_about_motion(motion: PhoneMotion, rng: np.random.Generator) -> Question:
    """One question about the motion."""
    if motion.kind == "walking" and rng.random() < 0.6:
        phrasings = (
            "Is the pace slow or fast?",
            "How fast is the walking pace?",
            "What is the pace of the walk?",
        )
        answer = f"The pace is {motion.pace}."
        return ask(rng, phrasings, answer, task="motion pace", expected=motion.pace, choices=PACES)
    return caption_motion(motion, rng)


def caption_motion(motion: PhoneMotion, rng: np.random.Generator) -> Question:
    """Asks what the phone does."""
    phrasings = (
        "How does the phone move?",
        "What is the phone doing?",
        "What happens to the phone?",
        "Describe the motion of the phone.",
    )
    answer = f"The phone is {describe_motion(motion).removeprefix('the phone ')}."
    return ask(rng, phrasings, answer, task="motion kind", expected=motion.kind, choices=KINDS)
