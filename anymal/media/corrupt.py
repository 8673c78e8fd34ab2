"""Media made uninformative: a small crop of each, or one that says nothing.

Signals in, signals of the same kind out, for all four modalities. Of a preference pair, the chosen
answer should lose likelihood under them: mDPO (arXiv 2406.11839) crops the picture to 0 to 20 % of
itself. Does not choose what to corrupt, and decodes nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anymal.errors import DataError
from encoders.signals import Audio, Image, Motion, Signal, Video

GREY = 127
MOST_KEPT = 0.2  # of the area of a picture, or of the time of a recording
_LEAST_SAMPLES = 16  # of a recording; with fewer, nothing is left to resample


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One way to corrupt the media of one record, always the same.

    Attributes:
        name: In `CORRUPTIONS`.
        seed: Of the record; which part a crop keeps follows from it and from the medium.
    """

    name: str
    seed: str

    def digest(self, digest: str) -> str:
        """SHA-256 that stands for the corrupted medium, by that of the medium."""
        return hashlib.sha256(f"{self.name} {self.seed} {digest}".encode()).hexdigest()

    def __call__(self, signal: Any, digest: str) -> Signal:
        """Corrupt a signal.

        Args:
            signal: What the medium decodes to.
            digest: SHA-256 of the medium.

        Raises:
            DataError: There is no such corruption for signals of this kind.
        """
        known = CORRUPTIONS[self.name]
        if type(signal) not in known:
            raise DataError(
                f"no corruption {self.name!r} for {type(signal).__name__}; "
                f"known: {', '.join(kind.__name__ for kind in known)}"
            )
        rng = np.random.default_rng(int(self.digest(digest)[:16], 16))
        corrupted: Signal = known[type(signal)](signal, rng)
        return corrupted


def blank(signal: Any) -> Any:
    """A signal of the same kind, size and time that says nothing.

    Raises:
        DataError: There is none for signals of this kind.
    """
    return Corruption(name="blank", seed="")(signal, digest="")


# --- crop ---------------------------------------------------------------------------------------


def _crop_image(signal: Image, rng: np.random.Generator) -> Image:
    rows, columns = _box(signal.pixels.shape[0], signal.pixels.shape[1], rng)
    return Image(pixels=np.ascontiguousarray(signal.pixels[rows, columns]))


def _crop_video(signal: Video, rng: np.random.Generator) -> Video:
    """The same box of every frame, and of its sound a stretch."""
    rows, columns = _box(signal.frames.shape[1], signal.frames.shape[2], rng)
    audio = None if signal.audio is None else _crop_audio(signal.audio, rng)
    frames = np.ascontiguousarray(signal.frames[:, rows, columns])
    return replace(signal, frames=frames, audio=audio)


def _crop_audio(signal: Audio, rng: np.random.Generator) -> Audio:
    return replace(signal, samples=signal.samples[_stretch(len(signal.samples), rng)].copy())


def _crop_motion(signal: Motion, rng: np.random.Generator) -> Motion:
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


# --- blank --------------------------------------------------------------------------------------


def _blank_image(signal: Image, rng: np.random.Generator) -> Image:
    return Image(pixels=np.full_like(signal.pixels, GREY))


def _blank_video(signal: Video, rng: np.random.Generator) -> Video:
    """Black, with a silent sound track; a still is grey."""
    is_still = len(signal.frames) == 1 or signal.duration_s == 0
    audio = None if signal.audio is None else _blank_audio(signal.audio, rng)
    frames = np.full_like(signal.frames, GREY if is_still else 0)
    return replace(signal, frames=frames, audio=audio)


def _blank_audio(signal: Audio, rng: np.random.Generator) -> Audio:
    return replace(signal, samples=np.zeros_like(signal.samples))


def _blank_motion(signal: Motion, rng: np.random.Generator) -> Motion:
    return replace(signal, samples=np.zeros_like(signal.samples))


CORRUPTIONS: Mapping[str, Mapping[type, Callable[[Any, np.random.Generator], Any]]] = {
    "crop": {
        Image: _crop_image,
        Video: _crop_video,
        Audio: _crop_audio,
        Motion: _crop_motion,
    },
    "blank": {
        Image: _blank_image,
        Video: _blank_video,
        Audio: _blank_audio,
        Motion: _blank_motion,
    },
}
