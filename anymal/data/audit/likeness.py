"""Whether two pictures show the same, whatever their size, format and quality.

A perceptual hash finds pairs that may: the signs of the lowest frequencies of the brightness, a
cosine transform, as pHash does (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, section 3.2), with 255 bits in place of 64. Small coloured copies then decide,
because the hash ignores colours and most small details. Mirrored, turned, cut and brightened
pictures count as different.

Shapes: K hashes, B bytes of a hash, T side of a small copy.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import PIL.Image
from numpy.typing import NDArray

MOST_BITS = 48
"""Of 255 bits, how many may differ. Of two pictures that are not alike, about half do."""
MOST_STEP = 32
"""Of 255, how far apart a pixel of the small copies may be, its colours averaged."""
MOST_SHIFT = 4.0
"""Of 255, how far apart the means of a colour may be, which formats and qualities keep."""
LEAST_CORRELATION = 0.95
"""Of the small copies: their contrasts may differ, what they show may not."""
_LEAST_CONTRAST = 4.0
"""Of 255, standard deviation: a picture with less, such as a black frame, is like many others."""

_SIDE, _FREQUENCIES, _COPY = 64, 16, 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """What is kept of a picture.

    Attributes:
        bits: `[B]` uint8, the perceptual hash.
        copy: `[T, T, 3]` uint8, the small copy.
    """

    bits: NDArray[np.uint8]
    copy: NDArray[np.uint8]


def look_of(pixels: NDArray[np.uint8]) -> Look | None:
    """Take what tells a picture from others.

    Args:
        pixels: `[H, W, 3]`.

    Returns:
        The look; None of a picture that shows too little to tell it from others.
    """
    if float(pixels.std()) < _LEAST_CONTRAST:
        return None
    image = PIL.Image.fromarray(pixels)
    grey = image.convert("L").resize((_SIDE, _SIDE), PIL.Image.Resampling.LANCZOS)
    waves = _cosines()
    amplitudes = (waves @ np.asarray(grey, dtype=np.float64) @ waves.T).ravel()[1:]
    copy = image.resize((_COPY, _COPY), PIL.Image.Resampling.LANCZOS)
    return Look(
        bits=np.packbits(amplitudes > np.median(amplitudes)),
        copy=np.asarray(copy, dtype=np.uint8),
    )


def are_alike(one: Look, other: Look) -> bool:
    """Compare two pictures by their small copies.

    Args:
        one: A picture whose hash is near the other's.
        other: The other.

    Returns:
        Whether they show the same.
    """
    first, second = (look.copy.astype(np.float64) for look in (one, other))
    apart = first - second
    if np.abs(apart).mean(axis=2).max() > MOST_STEP:
        return False
    if np.abs(apart.mean(axis=(0, 1))).max() > MOST_SHIFT:
        return False
    first, second = first.ravel() - first.mean(), second.ravel() - second.mean()
    sizes = float(np.sqrt((first @ first) * (second @ second)))
    return sizes > 0 and float(first @ second) / sizes >= LEAST_CORRELATION


def near(bits: NDArray[np.uint8], hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the hashes that differ in few bits.

    Args:
        bits: `[B]`.
        hashes: `[K, B]`.

    Returns:
        Their numbers.
    """
    differing: NDArray[np.int64] = np.take(_ones(), hashes ^ bits).sum(axis=1)
    found: NDArray[np.int64] = np.flatnonzero(differing <= MOST_BITS)
    return found


@cache
def _ones() -> NDArray[np.int64]:
    """How many bits of each byte are set, `[256]`."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    ones: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return ones


@cache
def _cosines() -> NDArray[np.float64]:
    """The lowest waves of a cosine transform (DCT-II), `[frequencies, side]`."""
    places = 2 * np.arange(_SIDE) + 1
    return np.asarray(np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), places) / (2 * _SIDE)))
