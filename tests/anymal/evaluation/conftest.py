"""A model that sees colours: it answers from the mean colour of the pictures it is shown.

Not a neural network; processor and tokeniser are the real ones.
"""

import base64
import io
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image as PillowImage
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from anymal.chat.template import build_template
from anymal.engine.events import Event, Finished, TextDelta, TokenCounts
from anymal.engine.prompt import EmbeddingSpan, Prompt
from anymal.engine.sampling import Sampling
from anymal.processor import ModalityInput, Processor
from anymal.sample import Sample
from anymal.serving.assistant import Assistant
from encoders.signals import Image

COLOURS = {"red": (220, 0, 0), "green": (0, 220, 0), "blue": (0, 0, 220)}
# Of different lengths, so that some answers of a batch end before others.
ANSWERS = {"red": "red", "green": "it is green", "blue": "the picture is blue"}


def picture(colour: str, number: int = 0) -> dict[str, Any]:
    """An image part of one colour, of another size for each number."""
    buffer = io.BytesIO()
    PillowImage.new("RGB", (6, 4 + number), COLOURS[colour]).save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def record(colour: str, question: str = "Which colour?", *, number: int = 0) -> dict[str, Any]:
    """A question about a picture, with its answer."""
    return {
        "id": f"picture-{number}",
        "messages": [
            {
                "role": "user",
                "content": [picture(colour, number), {"type": "text", "text": question}],
            },
            {"role": "assistant", "content": f"The picture is {colour}."},
        ],
        "meta": {"task": "colour", "answer": colour, "choices": list(COLOURS)},
    }


def tokenizer() -> Any:
    """A tokeniser of a few words."""
    words = sorted({word for answer in ANSWERS.values() for word in answer.split()})
    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", *words])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


class MeanColour:
    """Preprocessor: a picture to its mean colour."""

    def __call__(self, signal: Any) -> dict[str, Tensor]:
        assert isinstance(signal, Image)
        return {"colour": torch.tensor(signal.pixels.mean(axis=(0, 1)))[None]}


class ColourModel:
    """Soft tokens and engine in one: names the nearest colour; says red where it sees none."""

    def __init__(self, *, is_blind: bool = False) -> None:
        self._is_blind = is_blind
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0
        self.num_asked = 0
        self.fails_after: int | None = None

    def prompt(self, sample: Sample) -> Prompt:
        """The mean colour of the picture, as its soft token."""
        with self._lock:
            if self.num_asked == self.fails_after:
                raise KeyboardInterrupt
            self.num_asked += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        (medium,) = sample.media["image"]
        span = EmbeddingSpan(embeddings=medium.tensors["colour"], digest="", kind="image")
        return Prompt(spans=(span,))

    def submit(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        """One word of the answer at a time."""
        assert sampling.is_greedy
        (span,) = prompt.spans
        assert isinstance(span, EmbeddingSpan)
        words = ANSWERS[self._see(span.embeddings[0])].split()[: sampling.max_tokens]
        for number, word in enumerate(words):
            yield TextDelta(text=word if number == 0 else f" {word}")
        with self._lock:
            self._at_once -= 1
        yield Finished(reason="stop", counts=TokenCounts(prompt=1, completion=len(words)))

    def close(self) -> None:
        """Holds nothing."""

    def _see(self, colour: Tensor) -> str:
        if self._is_blind or colour.std() < 1:
            return "red"
        return list(COLOURS)[int(colour.argmax())]


def fake_assistant(*, is_blind: bool = False) -> Assistant:
    """What `anymal.load` returns, with the colour model in it."""
    words = tokenizer()
    processor = Processor(
        tokenizer=words,
        template=build_template("llama2", words),
        modalities={"image": ModalityInput(preprocessor=MeanColour(), num_tokens=4)},
        max_tokens=256,
    )
    model: Any = ColourModel(is_blind=is_blind)
    return Assistant(name="colours", processor=processor, soft_tokens=model, engine=model)


@pytest.fixture
def colours() -> Any:
    """The colour model, and records for it."""
    return SimpleNamespace(record=record, assistant=fake_assistant, names=list(COLOURS))
