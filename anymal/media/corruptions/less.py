"""Media that show less: a small crop of each, a few pixels, or nothing at all.

mDPO (arXiv 2406.11839) crops the picture to 0 to 20 % of itself; STIC (2405.19716) shrinks it to 20
pixels. Does not choose what to corrupt (see `anymal.media.corrupt`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from encoders.signals import Audio, Image, Motion, Video

GREY = 127
MOST_KEPT = 0.2  # of the area of a picture, or of the time of a recording
_LEAST_SAMPLES = 16  # of a recording; with fewer, nothing is left to resample

# --- crop ---------------------------------------------------------------------------------------


def crop_image(signal: Image, rng: np.random.Generator) -> Image:
    """Keep a box."""
    rows, columns = _box(signal.pixels.shape[0], signal.pixels.shape[1], rng)
    return Image(pixels=np.ascontiguousarray(signal.pixels[rows, columns]))


def crop_video(signal: Video, rng: np.random.Generator) -> Video:
    """Keep the same box of every frame, and of its sound a stretch."""
    rows, columns = _box(signal.frames.shape[1], signal.frames.shape[2], rng)
    audio = None if signal.audio is None else crop_audio(signal.audio, rng)
    frames = np.ascontiguousarray(signal.frames[:, rows, columns])
    return replace(signal, frames=frames, audio=audio)


def crop_audio(signal: Audio, rng: np.random.Generator) -> Audio:
    """Keep a stretch."""
    return replace(signal, samples=signal.samples[_stretch(len(signal.samples), rng)].copy())


def crop_motion(signal: Motion, rng: np.random.Generator) -> Motion:
    """Keep a stretch."""
    return replace(signal, samples=signal.samples[_stretch(len(signal.samples), rng)].copy())


def _box(height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """A box of the same shape as the whole."""
    side = float(np.sqrt(rng.uniform(0, MOST_KEPT)))
    return _part(height, int(side * height), rng), _part(width, int(side * width), rng)


def _stretch(length: int, rng: np.random.Generator) -> slice:
    return _part(length, max(_LEAST_SAMPLES, int(rng.uniform(0, MOST_KEPT) * length)), rng)


def _part(whole: int, size: int, rng: np.random.Generator) -> slice:
    """So many neighbours, at least one and at most all."""
    size = min(max(1, size), whole)
    start = int(rng.integers(whole - size + 1))
    return slice(start, start + size)


# --- shrink -------------------------------------------------------------------------------------


def shrink_image(signal: Image, side: int) -> Image:
    """Shrink a picture until its shorter side has so many pixels; one that is smaller stays."""
    return Image(pixels=_shrunk(signal.pixels, side))


def shrink_video(signal: Video, side: int) -> Video:
    """The same of every frame."""
    return replace(signal, frames=np.stack([_shrunk(frame, side) for frame in signal.frames]))


def _shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = min(1.0, side / min(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC))


# --- blank --------------------------------------------------------------------------------------


def blank_image(signal: Image) -> Image:
    """Grey."""
    return Image(pixels=np.full_like(signal.pixels, GREY))


def blank_video(signal: Video) -> Video:
    """Black, with a silent sound track; a still is grey."""
    is_still = len(signal.frames) == 1 or signal.duration_s == 0
    audio = None if signal.audio is None else blank_samples(signal.audio)
    frames = np.full_like(signal.frames, GREY if is_still else 0)
    return replace(signal, frames=frames, audio=audio)


def blank_samples(signal: Any) -> Any:
    """Silence, or no motion."""
    return replace(signal, samples=np.zeros_like(signal.samples))
