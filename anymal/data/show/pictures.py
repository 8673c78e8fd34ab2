"""A decoded medium as one picture: a strip of frames, a waveform, the axes of a sensor.

Draws with numpy and Pillow alone and writes no file.

Shapes: H height, W width, N samples over time.
"""

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from encoders.signals import Audio, Image, Motion, Video

Pixels = NDArray[np.uint8]

_WIDTH, _HEIGHT = 480, 160  # of what has no shape of its own
_BACKGROUND = 250
_LINE = (43, 108, 176)
_AXES = ((197, 48, 48), (47, 133, 90), (43, 108, 176))  # x, y, z
_MIDDLE = (200, 200, 205)
_MOST_FRAMES = 8


def picture_of(signal: object) -> Pixels | None:
    """Draw a medium.

    Args:
        signal: What it was decoded to.

    Returns:
        `[H, W, 3]` uint8; None for a medium of another package.
    """
    match signal:
        case Image():
            return signal.pixels
        case Video():
            return _strip(signal)
        case Audio():
            return _waveform(signal.samples)
        case Motion():
            return _sensors(signal)
    return None


def fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale a picture down to fit, its shape kept.

    Args:
        pixels: `[H, W, 3]`.
        width: Most columns.
        height: Most rows.

    Returns:
        The picture; the same where it fits.
    """
    own_height, own_width = pixels.shape[:2]
    share = min(width / own_width, height / own_height)
    if share >= 1:
        return pixels
    size = (max(1, round(own_width * share)), max(1, round(own_height * share)))
    scaled = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS)
    return np.asarray(scaled, dtype=np.uint8)


def caption_of(signal: object) -> str:
    """What a medium is, in a few words."""
    match signal:
        case Image():
            height, width = signal.pixels.shape[:2]
            return f"{width} x {height} pixels"
        case Video():
            height, width = signal.frames.shape[1:3]
            return f"{signal.duration_s:.1f} s, {len(signal.frames)} frames of {width} x {height}"
        case Audio():
            return f"{signal.duration_s:.1f} s at {signal.rate_hz:,} Hz"
        case Motion():
            return f"{signal.duration_s:.1f} s at {signal.rate_hz:g} Hz"
    return ""


def _strip(video: Video) -> Pixels:
    """Frames side by side."""
    places = np.linspace(0, len(video.frames) - 1, min(_MOST_FRAMES, len(video.frames)))
    frames = [fitted(video.frames[round(place)], _WIDTH, _HEIGHT) for place in places]
    return np.concatenate(frames, axis=1)


def _waveform(samples: NDArray[np.float32]) -> Pixels:
    """How loud a sound is over time, as tall as its loudest sample."""
    canvas = _canvas(_HEIGHT)
    canvas[_HEIGHT // 2] = _MIDDLE
    loudest = float(np.abs(samples).max()) or 1.0
    for column, part in enumerate(np.array_split(samples, min(_WIDTH, len(samples)))):
        low, high = (_row(value / loudest) for value in (part.max(), part.min()))
        start = column * _WIDTH // min(_WIDTH, len(samples))
        canvas[low : high + 1, start] = _LINE
    return canvas


def _sensors(motion: Motion) -> Pixels:
    """Acceleration above rotation, each scaled to its largest value."""
    panels = []
    for first in (0, 3):
        if motion.present[first : first + 3].any():
            panels.append(_lines(motion.samples[:, first : first + 3]))
    return np.concatenate(panels, axis=0)


def _lines(samples: NDArray[np.float32]) -> Pixels:
    """Three lines over time, `[N, 3]`."""
    canvas = _canvas(_HEIGHT // 2)
    middle = len(canvas) // 2
    canvas[middle] = _MIDDLE
    largest = float(np.abs(samples).max()) or 1.0
    places = np.linspace(0, len(samples) - 1, _WIDTH)
    for axis, colour in enumerate(_AXES):
        values = np.interp(places, np.arange(len(samples)), samples[:, axis]) / largest
        rows = [_row(value, len(canvas)) for value in values]
        for column, (row, last) in enumerate(zip(rows, [rows[0], *rows], strict=False)):
            canvas[min(row, last) : max(row, last) + 1, column] = colour
    return canvas


def _canvas(height: int) -> Pixels:
    """An empty picture."""
    return np.full((height, _WIDTH, 3), _BACKGROUND, dtype=np.uint8)


def _row(value: float, height: int = _HEIGHT) -> int:
    """The row of a value between -1 and 1, up being larger."""
    return round((1 - value) / 2 * (height - 1))
