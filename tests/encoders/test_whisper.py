import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

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


@pytest.mark.parametrize("seconds", [0.9, 2.5])
@pytest.mark.parametrize("layer", [1, None])
def test_a_context_of_the_whole_chunk_changes_nothing(
    checkpoint: Find, seconds: float, layer: int | None
) -> None:
    path, sound = checkpoint("whisper"), noise(seconds)
    plain = encode(path, sound, layer=layer)
    short = encode(path, sound, layer=layer, context_s=1.0)
    real = plain.mask[0]
    assert torch.equal(short.values[0][short.mask[0]], plain.values[0][real])
    assert torch.equal(short.steps[0][short.mask[0]], plain.steps[0][real])


def encoded_by_hand(path: str, mel: Tensor, layer: int | None) -> Tensor:
    """What transformers' encoder makes of as many frames, its positions sliced."""
    weights = WhisperModel.from_pretrained(path).encoder.state_dict()
    config = WhisperConfig.from_pretrained(path, max_source_positions=mel.shape[2] // 2)
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: mel.shape[2] // 2]
    encoder = WhisperEncoder(config).eval()
    encoder.load_state_dict(weights)
    with torch.no_grad():
        output = encoder(mel, output_hidden_states=True)
    return output.last_hidden_state[0] if layer is None else output.hidden_states[layer][0]


@pytest.mark.parametrize("layer", [1, None])
@pytest.mark.parametrize(
    ("seconds", "context_s", "num_positions"),
    [(0.001, 0.2, 10), (0.2, 0.2, 10), (0.21, 0.2, 20), (0.95, 0.3, 50), (0.4, 0.01, 20)],
)
def test_a_short_context_equals_the_encoder_with_its_positions_sliced(
    checkpoint: Find, seconds: float, context_s: float, num_positions: int, layer: int | None
) -> None:
    path, sound = checkpoint("whisper"), noise(seconds)
    mel = build_encoder("whisper", path).preprocessor(sound)["input_features"]
    expected = encoded_by_hand(path, mel[:, :, : 2 * num_positions], layer)
    features = encode(path, sound, layer=layer, context_s=context_s)
    num_real = int(encode(path, sound).mask.sum())
    assert features.mask.all()
    assert features.values.shape[1] == num_real  # as many as without the option, and no padding
    torch.testing.assert_close(features.values[0], expected[:num_real])


def test_sounds_of_all_lengths_are_encoded_together_as_alone(
    checkpoint: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, options = checkpoint("whisper"), {"context_s": 0.2}
    sounds = [noise(seconds) for seconds in (0.3, 2.3, 0.1, 0.35, 1.0)]
    monkeypatch.setattr("encoders.frozen.WINDOWS_AT_ONCE", 3)
    together = encode(path, *sounds, **options)
    for row, sound in enumerate(sounds):
        alone = encode(path, sound, **options)
        mask = together.mask[row]
        torch.testing.assert_close(together.values[row][mask], alone.values[0][alone.mask[0]])
        assert torch.equal(together.steps[row][mask], alone.steps[0][alone.mask[0]])


def test_a_context_is_part_of_the_fingerprint_and_leaves_the_layout(checkpoint: Find) -> None:
    path = checkpoint("whisper")
    built = [build_encoder("whisper", path, context_s=each) for each in (None, 0.2, 0.4)]
    assert len({encoder.fingerprint for encoder in built}) == 3
    assert built[0].fingerprint == build_encoder("whisper", path).fingerprint
    tensors = [encoder.preprocessor(noise(1.3)) for encoder in built]
    counts = {encoder.layout(each).count for encoder, each in zip(built, tensors, strict=True)}
    assert counts == {65}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": 1.5}, r"window_s=1.5 must be above 0 and at most 1\.0"),
        ({"window_s": 0}, "window_s=0 must be above 0"),
        ({"layer": 3}, "layer 3 does not exist"),
        ({"max_windows": 0}, "at most 0 windows: each must be at least 1"),
        ({"context_s": 0.0}, "context_s=0.0 must be above 0 and at most 1"),
        ({"context_s": 1.5}, "context_s=1.5 must be above 0 and at most 1"),
        ({"context_s": 0.5, "silence": "kept"}, "leave one of the two out"),
    ],
)
def test_option_that_does_not_fit_is_refused(
    checkpoint: Find, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("whisper", checkpoint("whisper"), **options)


def test_chunk_that_the_encoder_cannot_take_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("whisper"), tmp_path / "whisper"))
    WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(path)
    with pytest.raises(EncoderError, match="make 200 mel frames, but the encoder takes 100"):
        build_encoder("whisper", str(path))
