"""Audio and Motion at another rate, without aliasing.

It does not fill gaps or guess rates: signals arrive steady and finite.

Shapes: N samples over time, C channels.
"""

import math

import numpy as np
import soxr
from numpy.typing import NDArray

from encoders.signals import Audio, Motion

# Samples of the slower rate that the resampling filter reaches to each side, rounded up.
_FILTER_REACH = 128
# How many longer pads to try for one that is a whole number of new samples, so that the recording
# is not shifted by a fraction of one.
_PAD_CHOICES = 1024


def resample_audio(audio: Audio, rate_hz: int) -> Audio:
    """Resamples a sound.

    Args:
        audio: Any sound.
        rate_hz: The new rate, in samples a second.

    Returns:
        The same sound, `round(N * rate_hz / audio.rate_hz)` samples but at least one; the input
        itself where the rate is already right.
    """
    if rate_hz == audio.rate_hz:
        return audio
    samples = _resample(audio.samples[:, None], audio.rate_hz, rate_hz, steady_edges=False)[:, 0]
    # A filter overshoots beside sharp edges.
    return Audio(samples=np.clip(samples, -1.0, 1.0), rate_hz=rate_hz)


def resample_motion(motion: Motion, rate_hz: float) -> Motion:
    """Resamples a motion recording.

    Its edges are continued rather than dropped to zero, so that gravity stays where it is.

    Args:
        motion: Any recording.
        rate_hz: The new rate, in samples a second; need not be whole.

    Returns:
        The same recording, `round(N * rate_hz / motion.rate_hz)` samples but at least one; the
        input itself where the rate is already right.
    """
    if rate_hz == motion.rate_hz:
        return motion
    samples = _resample(motion.samples, motion.rate_hz, rate_hz, steady_edges=True)
    samples[:, ~motion.present] = 0.0
    return Motion(samples=samples, rate_hz=rate_hz, present=motion.present)


def _resample(
    samples: NDArray[np.float32], old_hz: float, new_hz: float, *, steady_edges: bool
) -> NDArray[np.float32]:
    """[N, C] at the old rate to [N', C] at the new."""
    if not (math.isfinite(new_hz) and new_hz > 0):
        raise ValueError(f"rate_hz must be positive, got {new_hz!r}")
    ratio = new_hz / old_hz
    length = max(1, round(len(samples) * ratio))
    reach = math.ceil(_FILTER_REACH * max(1.0, 1.0 / ratio))
    lead = _whole_pad(ratio, reach) if steady_edges else 0
    mode = {"mode": "reflect", "reflect_type": "odd"} if steady_edges else {"mode": "constant"}
    padded = np.pad(samples, ((lead, reach), (0, 0)), **mode)  # type: ignore[call-overload]  # kwargs
    # The recipe is fixed: another one would change features that bundles were trained on.
    resampled = soxr.resample(padded, old_hz, new_hz, quality="HQ")
    start = round(lead * ratio)
    return np.ascontiguousarray(resampled[start : start + length], dtype=np.float32)


def _whole_pad(ratio: float, shortest: int) -> int:
    """A pad that is all but a whole number of samples at both rates."""
    pads = np.arange(shortest, shortest + _PAD_CHOICES)
    return int(pads[np.argmin(np.abs(pads * ratio - np.round(pads * ratio)))])
