"""Numbers that say what a sound is like: how loud it is, and between which pitches it moves.

Does not write them as words.

Shapes: N samples over time, K stretches, L lags.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.signals import Audio

Array = NDArray[np.float64]

# Pitch is looked for in so many stretches, at even spacing, however long the sound is.
_STRETCHES, _STRETCH_S = 200, 0.05
_MOST_SAMPLES = 2_000_000  # of them together
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 2000.0
# A stretch has a pitch where it resembles itself so much, one period later.
_LIKENESS = 0.8
# The first period that is nearly as good as the best is taken, or tones come out octaves low.
_NEARLY = 0.9
# Quieter stretches than so many dB below the loudest have none.
_QUIET_DB = 30.0
# Of all stretches with a pitch, so many percent are left out at either end.
_OUTLIERS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFacts:
    """What was measured of a sound.

    Attributes:
        loudness_db: Root mean square in dB of full scale; None for silence.
        pitch_hz: The lowest and the highest pitch; None where nothing has a pitch.
    """

    loudness_db: float | None
    pitch_hz: tuple[float, float] | None


def measure_sound(signal: Audio) -> SoundFacts:
    """Measure a sound.

    The pitch of a stretch is that of the autocorrelation, each lag divided by the energies of both
    parts (Boersma 1993, in other words), between 60 and 2000 Hz.
    """
    samples = signal.samples.astype(np.float64)
    size = float(np.sqrt(np.square(samples).mean()))
    if size == 0:
        return SoundFacts(loudness_db=None, pitch_hz=None)
    pitches = _pitches(_stretches(samples, signal.rate_hz), signal.rate_hz)
    return SoundFacts(
        loudness_db=20 * float(np.log10(size)),
        pitch_hz=None
        if not len(pitches)
        else (
            float(np.percentile(pitches, _OUTLIERS)),
            float(np.percentile(pitches, 100 - _OUTLIERS)),
        ),
    )


def _stretches(samples: Array, rate_hz: int) -> Array:
    """Loud enough stretches `[K, N]`, their means taken off; a short sound is one."""
    length = min(max(1, round(_STRETCH_S * rate_hz)), len(samples))
    number = min(_STRETCHES, len(samples) // length, max(1, _MOST_SAMPLES // length))
    starts = np.linspace(0, len(samples) - length, number)
    found = samples[starts.round().astype(np.int64)[:, None] + np.arange(length)]
    found = found - found.mean(axis=1, keepdims=True)
    energy = np.square(found).mean(axis=1)
    chosen: Array = found[energy > energy.max() * 10 ** (-_QUIET_DB / 10)]
    return chosen


def _pitches(stretches: Array, rate_hz: int) -> Array:
    """The pitch of each stretch that has one, in Hz."""
    length = stretches.shape[1]
    shortest = max(2, int(rate_hz / _HIGHEST_HZ))
    longest = min(int(rate_hz / _LOWEST_HZ) + 1, length * 2 // 3)
    if longest <= shortest + 1:
        return np.empty(0)
    spectrum = np.fft.rfft(stretches, 2 * length, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : longest + 2]
    squares = np.pad(np.square(stretches).cumsum(axis=1), ((0, 0), (1, 0)))
    lags = np.arange(longest + 2)
    before = squares[:, length - lags]  # energy of what is left of a lag's end
    behind = squares[:, -1:] - squares[:, lags]
    likeness = products / np.sqrt(np.maximum(before * behind, 1e-20))
    found = []
    for row in likeness:
        inside = row[shortest:longest]
        # Peaks alone: next to lag 0 every sound resembles itself.
        is_peak = (inside >= row[shortest - 1 : longest - 1]) & (
            inside > row[shortest + 1 : longest + 1]
        )
        best = inside[is_peak].max(initial=0.0)
        if best >= _LIKENESS:
            lag = shortest + int((is_peak & (inside >= _NEARLY * best)).argmax())
            found.append(rate_hz / (lag + _offset(row, lag)))
    return np.array(found)


def _offset(row: Array, lag: int) -> float:
    """Where between its neighbours a peak lies: the parabola through the three."""
    before, at, after = row[lag - 1 : lag + 2]
    bend = before - 2 * at + after
    return float(0.5 * (before - after) / bend) if bend else 0.0
