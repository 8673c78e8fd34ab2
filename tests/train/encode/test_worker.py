"""An encoder computes alike on CUDA, whether a run reads media, features, or encodes them."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from anymal.assemble import from_media, place_encoder
from train.encode.worker import Workers

CUDA = torch.device("cuda")


class Recorder(nn.Module):
    """Remembers where it was to go."""

    def to(self, *where: Any) -> "Recorder":  # type: ignore[override]
        self.where = where
        return self


def test_only_on_cuda_it_takes_the_dtype_of_the_language_model() -> None:
    encoder = nn.Linear(2, 2)
    place_encoder(encoder, torch.device("cpu"), torch.bfloat16)
    assert encoder.weight.dtype == torch.float32
    recorder = Recorder()
    place_encoder(recorder, CUDA, torch.bfloat16)
    assert recorder.where == (CUDA, torch.bfloat16)


@dataclass
class FakeAssembled:
    model: Any
    processor: Any


def test_encoders_that_join_a_model_later_are_cast_too() -> None:
    llm = SimpleNamespace(dtype=torch.bfloat16)
    model = SimpleNamespace(encoders=Recorder(), device=CUDA, llm=llm)
    processor = SimpleNamespace(without_features=lambda: "decodes")
    seen: Any = from_media(FakeAssembled(model, processor))  # type: ignore[arg-type]
    assert seen.processor == "decodes"
    assert model.encoders.where == (CUDA, torch.bfloat16)


@pytest.mark.parametrize(("precision", "dtype"), [("nf4", torch.bfloat16), ("fp32", torch.float32)])
def test_features_are_encoded_as_training_would(
    precision: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder: Any = Recorder()
    encoder.fingerprint, encoder.width = "ab" * 32, 4
    monkeypatch.setattr("train.encode.worker.build_frozen", lambda *_: encoder)
    monkeypatch.setattr("train.encode.worker.device_of", lambda _: CUDA)
    recipe: Any = SimpleNamespace(
        decode_workers=0,
        model=SimpleNamespace(
            llm=SimpleNamespace(precision=precision),
            modalities={"image": SimpleNamespace(encoder=None)},
        ),
    )
    with ExitStack() as stack:
        Workers(recipe, tmp_path, batch_windows=1, stack=stack)["image"]
    assert encoder.where == (CUDA, dtype)
