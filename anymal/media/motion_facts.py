"""Numbers that say what a motion recording is like: acceleration and its rhythm.

Does not write them as words.

Shapes: N samples over time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.signals import Motion

# Of the length of the acceleration, peak to mean: below it a recording has no rhythm but noise.
_LEAST_SWING = 0.5  # m/s2
_SHORTEST = 8  # samples; fewer tell no frequency


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionFacts:
    """What was measured of the length of the acceleration, gravity included.

    Attributes:
        mean: In m/s2.
        peak: The largest, in m/s2.
        peak_s: When that is, in seconds from the beginning.
        dominant_hz: The frequency in which it swings most, mean taken off; None where it hardly
            swings.
    """

    mean: float
    peak: float
    peak_s: float
    dominant_hz: float | None


def measure_motion(signal: Motion) -> MotionFacts:
    """Measure a recording that has acceleration.

    The dominant frequency is the largest bin of a periodogram with a Hann window, refined by the
    parabola through the logarithms of the bin and its neighbours (J. O. Smith, Spectral Audio
    Signal Processing, section "Quadratic interpolation of spectral peaks").
    """
    length = np.linalg.norm(signal.samples[:, :3].astype(np.float64), axis=1)  # [N]
    first = int(length.argmax())
    return MotionFacts(
        mean=float(length.mean()),
        peak=float(length[first]),
        peak_s=first / signal.rate_hz,
        dominant_hz=_dominant(length - length.mean(), signal.rate_hz),
    )


def _dominant(swing: NDArray[np.float64], rate_hz: float) -> float | None:
    """The frequency of the largest swing."""
    if len(swing) < _SHORTEST or np.abs(swing).max() < _LEAST_SWING:
        return None
    power = np.abs(np.fft.rfft(swing * np.hanning(len(swing)))) ** 2
    power[0] = 0.0
    best = int(power.argmax())
    return (best + peak_offset(power, best)) * rate_hz / len(swing)


def peak_offset(power: NDArray[np.float64], best: int) -> float:
    """Where between its neighbours the peak of a spectrum lies, -0.5 to 0.5 of a bin.

    Args:
        power: `[F]`, not negative.
        best: Its largest bin.
    """
    if not 0 < best < len(power) - 1 or power[best - 1] <= 0 or power[best + 1] <= 0:
        return 0.0
    before, at, after = np.log(power[best - 1 : best + 2])
    bend = before - 2 * at + after
    return float(0.5 * (before - after) / bend) if bend else 0.0
