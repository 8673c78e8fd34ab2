import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor, ClapModel

from encoders.base import EncoderError, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio

Find = Callable[[str], str]


def noise(seconds: float, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 8000))
    return Audio(samples=samples.astype(np.float32), rate_hz=8000)


def encode(path: str, *sounds: Audio, **options: Any) -> Features:
    encoder = build_encoder("clap", path, **options)
    return encoder(stack_inputs([encoder.preprocessor(sound) for sound in sounds]))


@pytest.mark.parametrize("name", ["clap", "clap_fused"])
@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("seconds", [0.3, 0.7, 2.0])
def test_mel_equals_the_feature_extractor(
    checkpoint: Find, tmp_path: Path, name: str, padding: str, seconds: float
) -> None:
    path = Path(shutil.copytree(checkpoint(name), tmp_path / name))
    extractor = ClapFeatureExtractor.from_pretrained(path)
    extractor.padding = padding
    extractor.save_pretrained(path)
    ours = build_encoder("clap", str(path)).preprocessor(noise(seconds))["input_features"]
    theirs = extractor(noise(seconds).samples, sampling_rate=8000, return_tensors="pt")
    torch.testing.assert_close(
        ours[:, 0], theirs["input_features"][:, 0].float(), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("name", ["clap", "clap_fused"])
def test_tokens_equal_the_model_called_directly(checkpoint: Find, name: str) -> None:
    path = checkpoint(name)
    mel = build_encoder("clap", path).preprocessor(noise(2.0))["input_features"]
    # The extractor hands fused checkpoints four copies of a clip that is not longer.
    copies = mel.expand(-1, 4 if name == "clap_fused" else 1, -1, -1)
    is_longer = torch.zeros(1, 1, dtype=torch.bool)
    with torch.no_grad():
        model = ClapModel.from_pretrained(path).audio_model
        grid = model(copies, is_longer=is_longer).last_hidden_state[0]  # [D_enc, bands, times]
    features = encode(path, noise(2.0))
    _, num_bands, num_times = grid.shape
    assert features.values.shape[1] == num_bands * num_times
    tokens = features.values[0].reshape(num_times, num_bands, -1)
    torch.testing.assert_close(tokens[1, 0], grid[:, 0, 1])
    torch.testing.assert_close(tokens[-1, -1], grid[:, -1, -1])


def test_later_time_positions_come_later(checkpoint: Find) -> None:
    # The grid folds time before the first layer; check that we unfold it in order.
    path = checkpoint("clap")
    silence = Audio(samples=np.zeros(16000, np.float32), rate_hz=8000)
    samples = silence.samples.copy()
    samples[12000:] = noise(0.5).samples
    late = Audio(samples=samples, rate_hz=8000)
    features = encode(path, silence, late)
    change = (features.values[0] - features.values[1]).norm(dim=1)
    num_times = 4 * 4
    by_time = change.reshape(num_times, -1).mean(dim=1)
    assert by_time.argmax() >= num_times * 3 // 4


def test_features_do_not_depend_on_chance(checkpoint: Find) -> None:
    path = checkpoint("clap_fused")
    sounds = [noise(5.0, 0), noise(1.0, 1)]
    np.random.seed(1)
    first = encode(path, *sounds)
    np.random.seed(2)
    second = encode(path, *sounds)
    assert torch.equal(first.values, second.values)


def test_long_sound_becomes_windows(checkpoint: Find) -> None:
    path = checkpoint("clap")
    per_window = encode(path, noise(2.0)).values.shape[1]
    features = encode(path, noise(5.0))
    assert features.values.shape[1] == 3 * per_window
    assert features.steps[0, ::per_window].tolist() == [0, 1, 2]
    second = Audio(samples=noise(5.0).samples[16000:32000], rate_hz=8000)
    torch.testing.assert_close(
        features.values[0, per_window : 2 * per_window], encode(path, second).values[0]
    )


@pytest.mark.parametrize(("seconds", "share"), [(2.0, 1.0), (1.0, 0.5), (0.01, 1 / 16)])
def test_mask_marks_the_first_copy_of_the_sound(
    checkpoint: Find, seconds: float, share: float
) -> None:
    mask = encode(checkpoint("clap"), noise(seconds)).mask[0]
    num_real = round(share * len(mask))
    assert mask.tolist() == [True] * num_real + [False] * (len(mask) - num_real)


def test_audio_half_alone_agrees_with_the_whole(checkpoint: Find, tmp_path: Path) -> None:
    path = checkpoint("clap")
    ClapModel.from_pretrained(path).audio_model.save_pretrained(tmp_path)
    shutil.copy(Path(path, "preprocessor_config.json"), tmp_path)
    torch.testing.assert_close(
        encode(str(tmp_path), noise(1.0)).values, encode(path, noise(1.0)).values
    )


def test_window_longer_than_the_clip_is_refused(checkpoint: Find) -> None:
    with pytest.raises(EncoderError, match=r"window_s=3 must be above 0 and at most 2\.0"):
        build_encoder("clap", checkpoint("clap"), window_s=3)


def test_unknown_padding_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("clap"), tmp_path / "clap"))
    extractor = ClapFeatureExtractor.from_pretrained(path)
    extractor.padding = "mirror"
    extractor.save_pretrained(path)
    with pytest.raises(EncoderError, match="unknown padding 'mirror'"):
        build_encoder("clap", str(path))
