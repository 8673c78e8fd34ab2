"""The table of modalities; a fifth one is a row, a registry line and an encoder."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anymal.assemble import build
from anymal.collate import collate
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, Medium, Modality
from anymal.recipe.schema import ModelRecipe
from encoders.base import EncoderInputs, Features
from encoders.registry import ENCODERS


class WarmthEncoder(nn.Module):
    """Rows of a thermal picture, seen as they are."""

    width = 2
    fingerprint = "warmth"

    @staticmethod
    def preprocessor(signal: NDArray[np.float32]) -> dict[str, Tensor]:
        return {"rows": torch.tensor([[signal.mean(), signal.max()]])}

    def forward(self, inputs: EncoderInputs) -> Features:
        values = inputs.tensors["rows"][:, None]
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return Features(values=values, mask=mask, steps=torch.zeros_like(mask, dtype=torch.int64))


def build_warmth(path: str) -> WarmthEncoder:
    return WarmthEncoder()


def decode_thermal(medium: Medium, limits: Limits) -> Any:
    assert medium.source is not None
    return decode_image(medium.source, limits).pixels.mean(axis=-1, dtype=np.float32) / 255


def test_a_fifth_modality(
    monkeypatch: pytest.MonkeyPatch,
    checkpoints: SimpleNamespace,
    talk: Callable[..., dict[str, Any]],
) -> None:
    monkeypatch.setitem(ENCODERS, "warmth", build_warmth)  # the registry line
    row = Modality(name="thermal", part_types=("image_url",), decode=decode_thermal)
    monkeypatch.setitem(MODALITIES, "thermal", row)  # the row of the table
    recipe = ModelRecipe.model_validate(
        {
            "llm": {"path": str(checkpoints.llm), "precision": "fp32", "template": "llama2"},
            "modalities": {
                "thermal": {
                    "encoder": {"kind": "warmth", "path": "nowhere"},
                    "aligner": {"kind": "linear", "num_tokens": 32, "normalise": False},
                }
            },
        }
    )
    assembled = build(recipe)
    assembled.model.set_trainable(["thermal"], lora=False)
    sample = assembled.processor(talk("Is it hot?", "Yes.", images=[(255, 255, 255)]))
    assert [(slot.modality, slot.length) for slot in sample.slots] == [("thermal", 32)]
    assembled.model.loss(collate([sample], pad_id=assembled.processor.pad_id)).total.backward()
    gradient = assembled.model.aligners["thermal"].project.weight.grad
    assert gradient is not None
    assert gradient.any()


def test_every_part_type_belongs_to_one_modality() -> None:
    part_types = [part_type for row in MODALITIES.values() for part_type in row.part_types]
    assert len(set(part_types)) == len(part_types)
    assert all(name == row.name for name, row in MODALITIES.items())


def test_digest_depends_on_content_and_declared_options() -> None:
    rows = [[1.0, 2.0, 3.0]]
    media = [
        Medium(source=None, samples=rows),
        Medium(source=None, samples=rows, options={"rate_hz": 50}),
        Medium(source=None, samples=rows, options={"rate_hz": 100}),
        Medium(source=None, samples=[[1.0, 2.0, 4.0]]),
    ]
    assert len({medium.digest for medium in media}) == 4
    assert media[0].digest == Medium(source=None, samples=[[1.0, 2.0, 3.0]]).digest
