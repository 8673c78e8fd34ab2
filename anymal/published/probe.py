"""The conversation that an imported model is compared on, for its class and for the bundle.

Runs no model. Media are noise from a fixed seed, of sizes that differ.

Shapes: H height, W width, N samples of sound.
"""

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SOUND_HZ = 16000
_QUESTIONS = ("What is this?", "And how does this one differ?")
_ANSWER = "It is noise."
_PICTURES = ((90, 120), (64, 48))  # height and width
_SOUND_SECONDS = (1.5, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """Questions about media, an answer after each but the last.

    Attributes:
        modality: Of all media.
        media: One for each question, pictures `[H, W, 3]` uint8 or sounds `[N]` int16; or none.
        questions: As many.
        is_reversed: Whether the words of a message come before its medium.
    """

    modality: str
    media: Sequence[NDArray[Any]]
    questions: Sequence[str] = _QUESTIONS
    is_reversed: bool = False

    def messages(self) -> list[dict[str, Any]]:
        """The conversation as chat templates of processors take it."""
        return self._written([{"type": self.modality} for _ in self.media])

    def arguments(self) -> dict[str, Any]:
        """The media as processors of transformers take them, by the name of their argument."""
        if self.modality == "image":
            return {"images": [Image.fromarray(picture) for picture in self.media]}
        return {
            "audio": [sound.astype(np.float32) / 2**15 for sound in self.media],
            "sampling_rate": SOUND_HZ,
        }

    def record(self) -> dict[str, Any]:
        """The conversation as `anymal.processor` takes it."""
        write = _png_part if self.modality == "image" else _wav_part
        return {"messages": self._written([write(medium) for medium in self.media])}

    def _written(self, parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Messages, a part for each medium."""
        messages: list[dict[str, Any]] = []
        for part, question in zip_longest(parts, self.questions):
            if messages:
                answer = [{"type": "text", "text": _ANSWER}]
                messages.append({"role": "assistant", "content": answer})
            content = [each for each in (part, {"type": "text", "text": question}) if each]
            content = content[::-1] if self.is_reversed else content
            messages.append({"role": "user", "content": content})
        return messages


def two_turns(modality: str, *, is_reversed: bool = False) -> Probe:
    """Two questions about two media of different size, an answer between them."""
    return Probe(modality=modality, media=_media(modality), is_reversed=is_reversed)


def one_question(modality: str) -> Probe:
    """A question about one medium, for models that take no more."""
    return Probe(modality=modality, media=_media(modality)[:1], questions=_QUESTIONS[:1])


def _media(modality: str) -> list[NDArray[Any]]:
    """Noise."""
    random = np.random.default_rng(0)
    if modality == "image":
        return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in _PICTURES]
    lengths = [int(seconds * SOUND_HZ) for seconds in _SOUND_SECONDS]
    return [random.integers(-(2**13), 2**13, length, dtype=np.int16) for length in lengths]


def _png_part(picture: NDArray[Any]) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="png")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_text(file)}"}}


def _wav_part(sound: NDArray[Any]) -> dict[str, Any]:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SOUND_HZ)
        out.writeframes(sound.astype("<i2").tobytes())
    return {"type": "input_audio", "input_audio": {"data": _text(file), "format": "wav"}}


def _text(file: io.BytesIO) -> str:
    return base64.b64encode(file.getvalue()).decode("ascii")
