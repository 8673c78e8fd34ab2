import json
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.base import stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio, Image, Motion
from train.pretrain import encoders
from train.pretrain.designs import KINDS, write_design

SIGNALS = {
    "image": Image(pixels=np.full((30, 40, 3), 90, np.uint8)),
    "audio": Audio(samples=np.linspace(-0.5, 0.5, 8000, dtype=np.float32), rate_hz=8000),
    "imu": Motion(samples=np.ones((128, 6), np.float32), rate_hz=50.0, present=np.ones(6, bool)),
}


@pytest.mark.parametrize(
    ("modality", "num_features", "width"), [("image", 16, 192), ("audio", 52, 128), ("imu", 16, 96)]
)
def test_design_builds_an_encoder_of_its_kind(
    modality: str, num_features: int, width: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    write_design(modality, tmp_path)
    options = {} if modality == "imu" else {"layer": None}
    encoder = build_encoder(KINDS[modality], str(tmp_path), **options)
    features = encoder(stack_inputs([encoder.preprocessor(SIGNALS[modality])]))
    assert features.values.shape == (1, num_features, width)
    assert encoder.width == width
    assert bool(features.mask.any())


def test_hidden_bands_hold_the_mean_and_the_rest_is_kept() -> None:
    torch.manual_seed(3)
    mel = torch.randn(4, 64, 200)
    hidden = encoders.hide_bands(mel)
    assert not torch.equal(hidden, mel)
    changed = hidden != mel
    for window, original, where in zip(hidden, mel, changed, strict=True):
        assert bool(where.any())
        assert where.float().mean() < 0.35
        # Two strips, each filled with the mean of the window at that moment.
        assert len(window[where].unique()) <= 2
        assert window[where].abs().max() < original.abs().max() / 10


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
