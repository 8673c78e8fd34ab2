"""What was measured of a medium, in words beside its soft tokens.

Does not measure sounds and motions (see `anymal.media.sound_facts` and `motion_facts`).
"""

from typing import Any

from anymal.errors import ConversationError
from anymal.media.motion_facts import measure_motion
from anymal.media.sound_facts import measure_sound
from anymal.modality import MOST_FACTS
from encoders.signals import Audio, Motion, Video

_SLOW_HZ = 9.5  # slower rates keep two significant digits, so that 0.4 Hz is not rounded to 0 Hz


def told(signal: Any, *, name: str) -> str:
    """The facts of a medium, in numbers that a person would round to.

    Args:
        signal: As it was decoded; None where its features come from a cache.
        name: What errors call it.

    Returns:
        Such as `2.0 s; 50 Hz; mean 9.9, peak 25.3 m/s2 at 1.2 s; 2.5 Hz`.

    Raises:
        ConversationError: There is no signal, or it is of a kind without facts.
    """
    if isinstance(signal, Audio):
        return _sound(signal)
    if isinstance(signal, Motion):
        return _motion(signal)
    if isinstance(signal, Video):
        return f"{signal.duration_s:.1f} s"
    if signal is None:
        raise ConversationError(
            f"{name}: facts are measured from media, and this run reads cached features; set "
            "features=null, or facts: false"
        )
    raise ConversationError(f"{name}: facts: true is for {', '.join(MOST_FACTS)}")


def _sound(signal: Audio) -> str:
    """Duration, rate, loudness and pitch of a sound."""
    found = measure_sound(signal)
    loud = "silent" if found.loudness_db is None else f"{round(found.loudness_db)} dB"
    parts = [f"{signal.duration_s:.1f} s", f"{signal.rate_hz} Hz", loud]
    if found.pitch_hz is not None:
        low, high = found.pitch_hz
        parts.append(f"pitch {low:.0f} to {high:.0f} Hz")
    return "; ".join(parts)


def _motion(signal: Motion) -> str:
    """Duration, rate, acceleration and dominant frequency of a motion."""
    rate = f"{signal.rate_hz:.2g}" if signal.rate_hz < _SLOW_HZ else f"{signal.rate_hz:.0f}"
    parts = [f"{signal.duration_s:.1f} s", f"{rate} Hz"]
    if signal.present[:3].all():
        found = measure_motion(signal)
        parts.append(f"mean {found.mean:.1f}, peak {found.peak:.1f} m/s2 at {found.peak_s:.1f} s")
        if found.dominant_hz is not None:
            parts.append(f"dominant {found.dominant_hz:.1f} Hz")
    return "; ".join(parts)
