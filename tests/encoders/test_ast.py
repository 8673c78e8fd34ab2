import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, ASTModel

from encoders.base import EncoderError, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio

Find = Callable[[str], str]
# 100 frames of 25 ms every 10 ms.
FULL_S = 1.015


def noise(seconds: float) -> Audio:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 16000))
    return Audio(samples=samples.astype(np.float32), rate_hz=16000)


def encode(path: str, *sounds: Audio, **options: Any) -> Features:
    encoder = build_encoder("ast", path, **options)
    return encoder(stack_inputs([encoder.preprocessor(sound) for sound in sounds]))


@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.0, FULL_S])
@pytest.mark.parametrize("do_normalize", [True, False])
def test_mel_equals_the_feature_extractor(
    checkpoint: Find, tmp_path: Path, seconds: float, do_normalize: bool
) -> None:
    path = Path(shutil.copytree(checkpoint("ast"), tmp_path / "ast"))
    extractor = ASTFeatureExtractor(
        max_length=100, num_mel_bins=20, do_normalize=do_normalize, mean=-4.0, std=4.0
    )
    extractor.save_pretrained(path)
    sound = noise(seconds)
    ours = build_encoder("ast", str(path)).preprocessor(sound)["input_values"]
    theirs = extractor(sound.samples, sampling_rate=16000, return_tensors="pt").input_values
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


@pytest.mark.parametrize("layer", [0, -2, -1, None])
def test_patches_equal_the_model_called_directly(checkpoint: Find, layer: int | None) -> None:
    path = checkpoint("ast")
    mel = build_encoder("ast", path).preprocessor(noise(FULL_S))["input_values"]
    with torch.no_grad():
        output = ASTModel.from_pretrained(path)(mel, output_hidden_states=True)
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    torch.testing.assert_close(encode(path, noise(FULL_S), layer=layer).values, expected[:, 2:])


def test_mask_marks_patches_that_hold_sound(checkpoint: Find) -> None:
    # Ten rows of time per band; patches of 8 frames begin every 10.
    features = encode(checkpoint("ast"), noise(0.335), noise(FULL_S), noise(0.001))
    by_band = features.mask.reshape(3, -1, 10)
    assert by_band[0].tolist() == [[True] * 4 + [False] * 6] * by_band.shape[1]
    assert by_band[1].all()
    assert by_band[2].sum(dim=1).tolist() == [1] * by_band.shape[1]


def test_windows_continue_frame_by_frame(checkpoint: Find) -> None:
    # Two windows hold the frames that one twice as long would.
    preprocessor = build_encoder("ast", checkpoint("ast"), window_s=0.415).preprocessor
    windows = preprocessor(noise(0.815))
    whole = build_encoder("ast", checkpoint("ast")).preprocessor(noise(0.815))
    assert windows["num_frames"].tolist() == [40, 40]
    joined = torch.cat([windows["input_values"][0, :40], windows["input_values"][1, :40]])
    torch.testing.assert_close(joined, whole["input_values"][0, :80])


def test_processor_of_another_shape_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("ast"), tmp_path / "ast"))
    ASTFeatureExtractor(max_length=90, num_mel_bins=20).save_pretrained(path)
    with pytest.raises(EncoderError, match=r"makes 90 frames .* takes 100 of 20"):
        build_encoder("ast", str(path))


@pytest.mark.parametrize("window_s", [2.0, 0.01])
def test_window_that_does_not_fit_is_refused(checkpoint: Find, window_s: float) -> None:
    with pytest.raises(EncoderError, match=f"window_s={window_s} must be"):
        build_encoder("ast", checkpoint("ast"), window_s=window_s)
