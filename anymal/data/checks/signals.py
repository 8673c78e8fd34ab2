"""Mistakes that decode well: media that show nothing, and motion in another unit than declared.

Does not decode.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from anymal.data.checks.mistake import Mistake
from anymal.media.imu.units import OPTIONS, SI, doubt_of
from encoders.signals import MOTION_CHANNELS, Audio, Image, Motion, Video

# Of 255; JPEG makes a little noise of black.
_BLACK = 8
# Of full scale: -80 dB, below what a quiet room gives in 16 bits.
_SILENT = 1e-4


def signal_mistakes(signal: object, options: Mapping[str, Any], name: str) -> Iterator[Mistake]:
    """Find what is wrong with a decoded medium.

    Args:
        signal: What it was decoded to; those of other packages pass.
        options: What its part declared, such as units.
        name: What to call it.

    Yields:
        The mistakes.
    """
    if (found := _blank(signal)) is not None:
        yield Mistake(
            kind="blank",
            reason=f"{name} {found}",
            change="put the right file in its place, or remove the row",
        )
    elif isinstance(signal, Motion):
        yield from _unit_mistakes(signal, options, name)


def _blank(signal: object) -> str | None:
    """How a medium shows nothing; None where it shows something."""
    match signal:
        case Image() if signal.pixels.max() <= _BLACK:
            return "is all black"
        case Video() if signal.frames.max() <= _BLACK:
            return f"is black in all of {len(signal.frames)} frames"
        case Audio() if np.abs(signal.samples).max() <= _SILENT:
            return "is silent from beginning to end"
        case Motion() if len(signal.samples) > 1 and not np.ptp(signal.samples, axis=0).any():
            return "reads the same in every row, which no moving sensor does"
    return None


def _unit_mistakes(motion: Motion, options: Mapping[str, Any], name: str) -> Iterator[Mistake]:
    """Values that look like another unit than SI, where that was declared or assumed."""
    letters = np.array([channel[0] for channel in MOTION_CHANNELS])
    for letter, si in SI.items():
        places = (letters == letter) & motion.present
        if not places.any() or options.get(OPTIONS[letter], si) != si:
            continue
        values = motion.samples[:, places].astype(np.float64)
        if (doubt := doubt_of(letter, values, motion.rate_hz)) is not None:
            yield Mistake(
                kind="units",
                reason=f"{name}: {doubt.found}, which looks like the unit {doubt.unit}, not {si}",
                change=f"declare {OPTIONS[letter]} {doubt.unit}, or convert the values to {si}",
            )
