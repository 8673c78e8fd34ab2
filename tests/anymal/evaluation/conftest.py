"""A model that sees colours: it answers from the mean colour of the pictures it is shown.

Not a neural network; processor, collate and tokeniser are the real ones.
"""

import base64
import io
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
from anymal.collate import Batch
from anymal.engine.sampling import Sampling
from anymal.processor import ModalityInput, Processor
from encoders.signals import Image

COLOURS = {"red": (220, 0, 0), "green": (0, 220, 0), "blue": (0, 0, 220)}
# Of different lengths, so that some answers of a batch end before others.
ANSWERS = {"red": "red", "green": "it is green", "blue": "the picture is blue"}


def picture(colour: str) -> dict[str, Any]:
    """An image part of one colour."""
    buffer = io.BytesIO()
    PillowImage.new("RGB", (6, 4), COLOURS[colour]).save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def record(colour: str, question: str = "Which colour?", *, number: int = 0) -> dict[str, Any]:
    """A question about a picture, with its answer."""
    return {
        "id": f"picture-{number}",
        "messages": [
            {"role": "user", "content": [picture(colour), {"type": "text", "text": question}]},
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
    """Names the nearest colour; says red where it sees none."""

    device = torch.device("cpu")

    def __init__(self, words: Any, *, is_blind: bool = False) -> None:
        self._tokenizer = words
        self._is_blind = is_blind
        self.batch_sizes: list[int] = []

    def generate(self, batch: Batch, *, sampling: Sampling) -> Iterator[list[int | None]]:
        """One word of every answer at a time."""
        assert sampling.temperature == 0
        assert batch.mask[:, -1].all(), "prompts are padded on the left"
        self.batch_sizes.append(len(batch.names))
        answers = [
            self._tokenizer.encode(ANSWERS[self._see(colour)], add_special_tokens=False)
            for colour in batch.media["image"].tensors["colour"]
        ]
        for step in range(min(sampling.max_tokens, max(len(answer) for answer in answers))):
            yield [answer[step] if step < len(answer) else None for answer in answers]

    def _see(self, colour: Tensor) -> str:
        if self._is_blind or colour.std() < 1:
            return "red"
        return list(COLOURS)[int(colour.argmax())]


def fake_assembled(*, is_blind: bool = False) -> Any:
    """What `anymal.assemble.build` returns, with the colour model in it."""
    words = tokenizer()
    processor = Processor(
        tokenizer=words,
        template=build_template("llama2", words),
        modalities={"image": ModalityInput(preprocessor=MeanColour(), num_tokens=4)},
        max_tokens=256,
    )
    return SimpleNamespace(model=ColourModel(words, is_blind=is_blind), processor=processor)


@pytest.fixture
def colours() -> Any:
    """The colour model, and records for it."""
    return SimpleNamespace(record=record, assembled=fake_assembled, names=list(COLOURS))
