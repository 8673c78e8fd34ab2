"""What decoded media is: Image, Video, Audio and Motion, in SI units.

It decodes nothing and resamples nothing; it only refuses arrays of the wrong kind.

Shapes: H height, W width, F frames, N samples over time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOTION_CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
_COLOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """One picture.

    Attributes:
        pixels: [H, W, 3] uint8, RGB, upright.
    """

    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Refuses anything but a non-empty RGB array."""
        _check_array("Image.pixels", self.pixels, np.uint8, (None, None, _COLOURS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audio:
    """One sound, mixed to a single channel.

    Attributes:
        samples: [N] float32 in [-1, 1].
        rate_hz: Samples in a second.
    """

    samples: NDArray[np.float32]
    rate_hz: int

    def __post_init__(self) -> None:
        """Refuses an empty, loud, or non-finite waveform."""
        _check_array("Audio.samples", self.samples, np.float32, (None,))
        # The comparison is written so that NaN fails it too.
        if not np.abs(self.samples).max() <= 1.0:
            raise ValueError("Audio.samples must be finite and lie in [-1, 1]")
        if not (isinstance(self.rate_hz, int) and self.rate_hz > 0):
            raise ValueError(f"Audio.rate_hz must be a positive int, got {self.rate_hz!r}")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Video:
    """Frames sampled from a film, or the single frame of a still image.

    Attributes:
        frames: [F, H, W, 3] uint8, RGB, upright.
        times_s: [F] float64, strictly increasing, measured from the first frame of the film, or
            from the beginning of the stretch that was asked for.
        duration_s: Length of the whole film, or of that stretch, in seconds; 0 for a still image.
        audio: The sound track where the caller asked for it and the film has one.
    """

    frames: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    duration_s: float
    audio: Audio | None = None

    def __post_init__(self) -> None:
        """Refuses frames without one increasing time each."""
        _check_array("Video.frames", self.frames, np.uint8, (None, None, None, _COLOURS))
        _check_array("Video.times_s", self.times_s, np.float64, (len(self.frames),))
        if not np.isfinite(self.times_s).all() or (np.diff(self.times_s) <= 0).any():
            raise ValueError("Video.times_s must be finite and strictly increasing")
        if not (np.isfinite(self.duration_s) and self.duration_s >= 0):
            raise ValueError(f"Video.duration_s must be 0 or more, got {self.duration_s!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """One recording of an inertial sensor at a steady rate.

    Attributes:
        samples: [N, 6] float32: acceleration x, y, z in m/s2, then rotation rate x, y, z in rad/s.
        rate_hz: Samples in a second; need not be whole.
        present: [6] bool; False where the sensor lacks the channel, which then reads zero.
    """

    samples: NDArray[np.float32]
    rate_hz: float
    present: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuses non-finite samples and missing channels that do not read zero."""
        channels = len(MOTION_CHANNELS)
        _check_array("Motion.samples", self.samples, np.float32, (None, channels))
        _check_array("Motion.present", self.present, np.bool_, (channels,))
        if not np.isfinite(self.samples).all():
            raise ValueError("Motion.samples must be finite")
        if not self.present.any() or self.samples[:, ~self.present].any():
            raise ValueError("Motion.present must name a channel; missing channels are zero")
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"Motion.rate_hz must be positive, got {self.rate_hz!r}")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


Signal = Image | Video | Audio | Motion


def _check_array(
    name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int | None, ...]
) -> None:
    """Refuses an array of another type, another shape, or without elements."""
    fits = (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and array.ndim == len(shape)
        and array.size > 0
        and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        found = f"{getattr(array, 'dtype', type(array).__name__)} {np.shape(array)}"
        raise ValueError(f"{name} must be non-empty {dtype.__name__} [{wanted}], got {found}")
