"""Signals as small pictures, and sounds to play, inside a page: what the model was shown.

Does not choose examples, and does not draw: `anymal.data.show.pictures` does. Sizes are bounded,
whatever the signal holds.
"""

from dataclasses import dataclass
from typing import Any

from anymal.data.show.pictures import caption_of, fitted, picture_of
from anymal.evaluation.signal_part import png_url, wav_base64
from encoders.signals import Audio

_WIDTH, _HEIGHT = 768, 240  # of a picture at most; frames in a row need the width
_MOST_SAMPLES = 160_000  # of a sound: ten seconds at 16 kHz


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
    pixels = picture_of(signal)
    if pixels is None:
        return Drawn(title=modality)
    title, sound = f"{modality}, {caption_of(signal)}", ""
    if isinstance(signal, Audio):
        heard = signal.samples[:_MOST_SAMPLES]
        sound = f"data:audio/wav;base64,{wav_base64(heard, signal.rate_hz)}"
        if len(heard) < len(signal.samples):
            title += f"; the first {len(heard) / signal.rate_hz:.1f} s can be played"
    return Drawn(title=title, picture=png_url(fitted(pixels, _WIDTH, _HEIGHT)), sound=sound)
