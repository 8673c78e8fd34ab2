"""The commands that make the language model and the encoders, for a few steps each."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from anymal.bundle_format import bundle_folder
from encoders.base import stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio, Image, Motion
from train.pretrain import encoders, language
from train.pretrain.designs import KINDS

SIGNALS = {
    "image": Image(pixels=np.full((30, 40, 3), 90, np.uint8)),
    "audio": Audio(samples=np.linspace(-0.5, 0.5, 8000, dtype=np.float32), rate_hz=8000),
    "imu": Motion(samples=np.ones((128, 6), np.float32), rate_hz=50.0, present=np.ones(6, bool)),
}


@pytest.mark.parametrize("modality", KINDS)
def test_encoders_learn_are_measured_and_saved(
    modality: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "_BATCH_SIZE", 4)
    monkeypatch.setattr(encoders, "_HELD_OUT_EXAMPLES", 8)
    first, further = tmp_path / "first", tmp_path / "further"
    encoders.main(modality, recordings, first, steps=4)
    encoders.main(modality, recordings, further, steps=4, seed=1, start=first)
    values = []
    for folder in (first, further):
        report = json.loads((folder / "pretraining.json").read_text())
        assert report
        assert all(0 <= share <= 1 for share in report.values())
        encoder = build_encoder(KINDS[modality], str(folder))
        values.append(encoder(stack_inputs([encoder.preprocessor(SIGNALS[modality])])).values)
    assert not torch.equal(*values)


def test_the_language_model_learns_is_measured_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_HELD_OUT", 4)
    known = AutoTokenizer.from_pretrained(bundle_folder("tiny") / "llm")
    monkeypatch.setattr(language, "train_tokenizer", lambda rng: known)
    first, further = tmp_path / "first", tmp_path / "further"
    language.main(first, steps=2)
    language.main(further, start=first, steps=2, seed=1)
    values = []
    for folder in (first, further):
        report = json.loads((folder / "pretraining.json").read_text())
        assert all(0 <= share <= 1 for share in report.values())
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == known.get_vocab()
        model = language.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        values.append(model.lm_head.weight)
    assert not torch.equal(*values)
