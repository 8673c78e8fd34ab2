import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel

from encoders.base import EncoderError, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio

Find = Callable[[str], str]


def noise(seconds: float) -> Audio:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 16000))
    return Audio(samples=samples.astype(np.float32), rate_hz=16000)


def encode(path: str, *sounds: Audio, **options: Any) -> Features:
    encoder = build_encoder("whisper", path, **options)
    return encoder(stack_inputs([encoder.preprocessor(sound) for sound in sounds]))


@pytest.mark.parametrize("seconds", [0.001, 0.4, 1.0])
def test_mel_equals_the_feature_extractor(checkpoint: Find, seconds: float) -> None:
    path = checkpoint("whisper")
    sound = noise(seconds)
    ours = build_encoder("whisper", path).preprocessor(sound)["input_features"]
    extractor = WhisperFeatureExtractor.from_pretrained(path)
    theirs = extractor(sound.samples, sampling_rate=16000, return_tensors="pt").input_features
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_full_length_mel_equals_the_feature_extractor(checkpoint: Find, tmp_path: Path) -> None:
    # The published shape: 30 s, 80 bands.
    extractor = WhisperFeatureExtractor()
    path = Path(shutil.copytree(checkpoint("whisper"), tmp_path / "whisper"))
    extractor.save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    config |= {"max_source_positions": 1500, "num_mel_bins": 80, "encoder_layers": 1}
    (path / "config.json").write_text(json.dumps(config))
    model = WhisperModel(WhisperModel.config_class(**config))
    model.save_pretrained(path)
    sound = noise(1.5)
    inputs = build_encoder("whisper", str(path)).preprocessor(sound)
    theirs = extractor(sound.samples, sampling_rate=16000, return_tensors="pt").input_features
    torch.testing.assert_close(inputs["input_features"], theirs, atol=1e-5, rtol=0)
    assert inputs["real"].sum() == 75


@pytest.mark.parametrize("layer", [0, 1, -1, None])
def test_states_equal_the_model_called_directly(checkpoint: Find, layer: int | None) -> None:
    path = checkpoint("whisper")
    mel = build_encoder("whisper", path).preprocessor(noise(1.0))["input_features"]
    with torch.no_grad():
        output = WhisperModel.from_pretrained(path).encoder(mel, output_hidden_states=True)
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    torch.testing.assert_close(encode(path, noise(1.0), layer=layer).values, expected)


def test_checkpoint_with_decoder_head_or_encoder_alone_agree(
    checkpoint: Find, tmp_path: Path
) -> None:
    path = checkpoint("whisper")
    model = WhisperModel.from_pretrained(path)
    whole = WhisperForConditionalGeneration(model.config)
    whole.model = model
    whole.save_pretrained(tmp_path / "whole")
    model.encoder.save_pretrained(tmp_path / "alone")
    expected = encode(path, noise(1.0)).values
    for name in ("whole", "alone"):
        shutil.copy(Path(path, "preprocessor_config.json"), tmp_path / name)
        torch.testing.assert_close(encode(str(tmp_path / name), noise(1.0)).values, expected)


@pytest.mark.parametrize(("seconds", "num_real"), [(0.001, 1), (0.02, 1), (0.5, 25), (1.0, 50)])
def test_mask_marks_positions_that_hold_sound(
    checkpoint: Find, seconds: float, num_real: int
) -> None:
    mask = encode(checkpoint("whisper"), noise(seconds)).mask[0]
    assert mask.tolist() == [True] * num_real + [False] * (50 - num_real)


def test_long_sound_becomes_windows(checkpoint: Find) -> None:
    features = encode(checkpoint("whisper"), noise(2.5))
    assert features.values.shape[1] == 150
    assert features.mask.sum() == 125
    assert features.steps[0, ::50].tolist() == [0, 1, 2]


def test_window_sees_only_its_own_sound(checkpoint: Find) -> None:
    path = checkpoint("whisper")
    second = Audio(samples=noise(2.0).samples[16000:], rate_hz=16000)
    features = encode(path, noise(2.0))
    torch.testing.assert_close(features.values[0, 50:], encode(path, second).values[0])


def test_shorter_windows_are_followed_by_silence(checkpoint: Find) -> None:
    path = checkpoint("whisper")
    half = Audio(samples=noise(1.0).samples[:8000], rate_hz=16000)
    windowed = encode(path, noise(1.0), window_s=0.5)
    assert windowed.mask.sum() == 50
    torch.testing.assert_close(windowed.values[0, :50], encode(path, half).values[0])


def test_max_windows_spreads_over_the_recording(checkpoint: Find) -> None:
    path = checkpoint("whisper")
    few = encode(path, noise(5.0), max_windows=3).values[0].unflatten(0, (3, 50))
    every = encode(path, noise(5.0)).values[0].unflatten(0, (5, 50))
    torch.testing.assert_close(few, every[[0, 2, 4]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": 1.5}, r"window_s=1.5 must be above 0 and at most 1\.0"),
        ({"window_s": 0}, "window_s=0 must be above 0"),
        ({"layer": 3}, "layer 3 does not exist"),
        ({"max_windows": 0}, "at most 0 windows: each must be at least 1"),
    ],
)
def test_option_that_does_not_fit_is_refused(
    checkpoint: Find, options: dict[str, float], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("whisper", checkpoint("whisper"), **options)


def test_chunk_that_the_encoder_cannot_take_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("whisper"), tmp_path / "whisper"))
    WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(path)
    with pytest.raises(EncoderError, match="make 200 mel frames, but the encoder takes 100"):
        build_encoder("whisper", str(path))
