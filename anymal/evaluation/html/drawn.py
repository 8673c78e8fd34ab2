"""Signals as small pictures, and sounds to play, inside a page: what the model was shown.

Does not choose examples. Sizes are bounded, whatever the signal holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from anymal.evaluation.signal_part import png_url, wav_base64
from encoders.signals import Audio, Image, Motion, Video

_SIDE = 240  # pixels, of the longer side of a picture
_FRAME_SIDE, _MOST_FRAMES = 96, 8
_PLOT = (240, 80)
_MOST_SAMPLES = 160_000  # of a sound: ten seconds at 16 kHz
_LINES = ("#c53030", "#2f855a", "#2b6cb0")  # x, y, z
_GROUND, _AXIS = "#ffffff", "#c5c9d0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One medium on the page.

    Attributes:
        title: What it is.
        picture: Data URL of a PNG; empty where there is none.
        sound: Data URL of a WAV; empty where there is nothing to hear.
    """

    title: str
    picture: str = ""
    sound: str = ""

    @property
    def num_bytes(self) -> int:
        """How much it adds to the page."""
        return len(self.picture) + len(self.sound)


def draw(modality: str, signal: Any) -> Drawn:
    """Draw a signal.

    Args:
        modality: Its name.
        signal: What a medium decoded to.

    Returns:
        Its picture; without one where the modality is of another package.
    """
    if isinstance(signal, Image):
        return Drawn(title=modality, picture=_shrunk(signal.pixels, _SIDE))
    if isinstance(signal, Video):
        title = f"{modality}, {len(signal.frames)} frames of {signal.duration_s:.1f} s"
        return Drawn(title=title, picture=_strip(signal.frames))
    if isinstance(signal, Audio):
        heard = signal.samples[:_MOST_SAMPLES]
        cut = ", its beginning" if len(heard) < len(signal.samples) else ""
        sound = f"data:audio/wav;base64,{wav_base64(heard, signal.rate_hz)}"
        title = f"{modality}, {signal.duration_s:.1f} s{cut}"
        return Drawn(title=title, picture=_plot([heard]), sound=sound)
    if isinstance(signal, Motion):
        title = f"{modality}, {signal.duration_s:.1f} s: acceleration above, rotation below"
        halves = [_plot_image(list(part.T)) for part in np.split(signal.samples, 2, axis=1)]
        return Drawn(title=title, picture=png_url(np.concatenate(halves)))
    return Drawn(title=modality)


def _shrunk(pixels: NDArray[np.uint8], side: int) -> str:
    return png_url(np.asarray(_thumbnail(pixels, side)))


def _thumbnail(pixels: NDArray[np.uint8], side: int) -> PillowImage.Image:
    picture = PillowImage.fromarray(pixels)
    picture.thumbnail((side, side))
    return picture


def _strip(frames: NDArray[np.uint8]) -> str:
    """Frames side by side, evenly spread where there are many."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int)
    shrunk = [np.asarray(_thumbnail(frames[place], _FRAME_SIDE)) for place in places]
    return png_url(np.concatenate(shrunk, axis=1))


def _plot(channels: Sequence[NDArray[np.float32]]) -> str:
    return png_url(_plot_image(channels))


def _plot_image(channels: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Lines over time, on one scale around zero."""
    width, height = _PLOT
    picture = PillowImage.new("RGB", _PLOT, _GROUND)
    brush = ImageDraw.Draw(picture)
    brush.line([(0, height // 2), (width, height // 2)], fill=_AXIS)
    most = max(float(np.abs(channel).max()) for channel in channels) or 1.0
    for channel, colour in zip(channels, _LINES, strict=False):
        # Both ends of what falls into a column, so that a short peak is not left out.
        columns = np.array_split(channel, min(width, len(channel)))
        ends = [end for column in columns for end in (column.min(), column.max())]
        x = np.linspace(0, width - 1, len(ends))
        y = (1 - np.asarray(ends) / most) * (height - 1) / 2
        brush.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour)
    return np.asarray(picture)
