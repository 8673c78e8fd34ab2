from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders.base import EncoderError, Features, stack_inputs
from encoders.imu.imu2clip import Imu2ClipConfig, Imu2ClipModel
from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel
from encoders.registry import build_encoder
from encoders.signals import Motion

Find = Callable[[str], str]
KINDS = ["imu_transformer", "imu2clip"]
# The tiny checkpoints see 64 and 128 samples at 50 Hz.
WINDOW = {"imu_transformer": 64, "imu2clip": 128}


def recording(num_samples: int, rate_hz: float = 50.0, has_rotation: bool = True) -> Motion:
    samples = np.random.default_rng(0).normal(size=(num_samples, 6)).astype(np.float32)
    present = np.array([True] * 3 + [has_rotation] * 3)
    samples[:, ~present] = 0
    return Motion(samples=samples, rate_hz=rate_hz, present=present)


def part(motion: Motion, start: int, stop: int) -> Motion:
    return Motion(
        samples=motion.samples[start:stop], rate_hz=motion.rate_hz, present=motion.present
    )


def encode(kind: str, path: str, *motions: Motion, **options: Any) -> Features:
    encoder = build_encoder(kind, path, **options)
    return encoder(stack_inputs([encoder.preprocessor(motion) for motion in motions]))


@pytest.mark.parametrize("kind", KINDS)
def test_states_equal_the_model_called_directly(checkpoint: Find, kind: str) -> None:
    path, motion = checkpoint(kind), recording(WINDOW[kind])
    model_class = {"imu_transformer": ImuTransformerModel, "imu2clip": Imu2ClipModel}[kind]
    model = model_class.from_pretrained(path)
    with torch.no_grad():
        expected = model(torch.from_numpy(motion.samples.T[None].copy())).last_hidden_state
    torch.testing.assert_close(encode(kind, path, motion).values, expected)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_layer_is_honoured(checkpoint: Find, layer: int) -> None:
    path, motion = checkpoint("imu_transformer"), recording(64)
    model = ImuTransformerModel.from_pretrained(path)
    values = torch.from_numpy(motion.samples.T[None].copy())
    with torch.no_grad():
        states = model(values, output_hidden_states=True).hidden_states
    assert len(states) == 4
    features = encode("imu_transformer", path, motion, layer=layer)
    torch.testing.assert_close(features.values, states[layer])


@pytest.mark.parametrize("kind", KINDS)
def test_long_recording_becomes_windows(checkpoint: Find, kind: str) -> None:
    path, window = checkpoint(kind), WINDOW[kind]
    motion = recording(3 * window)
    features = encode(kind, path, motion)
    per_window = features.values.shape[1] // 3
    assert features.mask.all()
    assert features.steps[0, ::per_window].tolist() == [0, 1, 2]
    second = encode(kind, path, part(motion, window, 2 * window))
    torch.testing.assert_close(features.values[0, per_window : 2 * per_window], second.values[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("surplus", [-6, -1, 0, 1, 6])
def test_a_window_more_or_less_exact_stays_one(checkpoint: Find, kind: str, surplus: int) -> None:
    exact = encode(kind, checkpoint(kind), recording(WINDOW[kind]))
    features = encode(kind, checkpoint(kind), recording(WINDOW[kind] + surplus))
    assert features.values.shape == exact.values.shape
    assert features.mask.all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate_hz", [25.0, 33.3, 100.0, 200.0])
def test_recording_of_one_window_at_any_rate_is_one_window(
    checkpoint: Find, kind: str, rate_hz: float
) -> None:
    num_samples = round(WINDOW[kind] / 50 * rate_hz)
    features = encode(kind, checkpoint(kind), recording(num_samples, rate_hz))
    exact = encode(kind, checkpoint(kind), recording(WINDOW[kind]))
    assert features.values.shape == exact.values.shape


@pytest.mark.parametrize("kind", KINDS)
def test_short_recording_is_masked(checkpoint: Find, kind: str) -> None:
    features = encode(kind, checkpoint(kind), recording(1), recording(20))
    assert features.mask[0].tolist() == [True] + [False] * (features.mask.shape[1] - 1)
    assert features.mask[1].sum() == 3  # patches and positions begin every 8 samples


def test_windows_end_in_the_last_sample(checkpoint: Find) -> None:
    motion = recording(20)
    inputs = build_encoder("imu2clip", checkpoint("imu2clip")).preprocessor(motion)
    last = torch.from_numpy(motion.samples[-1])
    torch.testing.assert_close(inputs["values"][0, :, 20:], last[:, None].expand(-1, 108))
    assert inputs["num_real"].tolist() == [20]


def test_patches_of_padding_are_not_attended_to(checkpoint: Find) -> None:
    model = ImuTransformerModel.from_pretrained(checkpoint("imu_transformer")).eval()
    values = torch.from_numpy(recording(64).samples.T[None].copy())
    changed = values.clone()
    changed[..., 40:] += 5  # the stem reaches 2 samples back, so patch 4 may differ
    num_real = torch.tensor([32])
    with torch.no_grad():
        first = model(values, num_real=num_real).last_hidden_state
        second = model(changed, num_real=num_real).last_hidden_state
        unmasked = model(changed).last_hidden_state
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, :4], unmasked[:, :4], atol=1e-3)


def test_overlapping_windows(checkpoint: Find) -> None:
    path, motion = checkpoint("imu_transformer"), recording(128)
    features = encode("imu_transformer", path, motion, hop_s=0.64)
    assert features.steps[0, ::8].tolist() == [0, 1, 2]
    middle = encode("imu_transformer", path, part(motion, 32, 96))
    torch.testing.assert_close(features.values[0, 8:16], middle.values[0])


@pytest.mark.parametrize("kind", KINDS)
def test_missing_channels_are_ignored(checkpoint: Find, kind: str) -> None:
    inputs = build_encoder(kind, checkpoint(kind)).preprocessor(recording(64, has_rotation=False))
    assert inputs["present"].tolist() == [[True] * 3 + [False] * 3]
    model_class = {"imu_transformer": ImuTransformerModel, "imu2clip": Imu2ClipModel}[kind]
    model = model_class.from_pretrained(checkpoint(kind))
    junk = inputs["values"].clone()
    junk[:, 3:] = 7.0
    with torch.no_grad():
        clean = model(inputs["values"], present=inputs["present"]).last_hidden_state
        dirty = model(junk, present=inputs["present"]).last_hidden_state
    assert torch.equal(clean, dirty)


def test_a_missing_sensor_is_not_a_still_sensor(checkpoint: Find) -> None:
    still = recording(64)
    still.samples[:, 3:] = 0
    missing = recording(64, has_rotation=False)
    assert np.array_equal(still.samples, missing.samples)
    features = encode("imu_transformer", checkpoint("imu_transformer"), still, missing)
    assert not torch.allclose(features.values[0], features.values[1], atol=1e-3)


def test_gravity_becomes_one() -> None:
    config = ImuTransformerConfig(
        hidden_size=8, num_attention_heads=2, num_hidden_layers=1, rotation_scale=2.0
    )
    model = ImuTransformerModel(config)
    seen: list[Tensor] = []
    model.stem.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    values = torch.zeros(1, 6, 128)
    values[:, 2], values[:, 5] = 9.81, 3.0
    model(values)
    torch.testing.assert_close(seen[0][0, :, 0], torch.tensor([0, 0, 1, 0, 0, 1.5]))


@pytest.mark.parametrize("kind", KINDS)
def test_model_survives_saving_with_any_checkpoint_name(
    checkpoint: Find, tmp_path: Path, kind: str
) -> None:
    model_class = {"imu_transformer": ImuTransformerModel, "imu2clip": Imu2ClipModel}[kind]
    model = model_class.from_pretrained(checkpoint(kind))
    model.save_pretrained(tmp_path)
    again = model_class.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_model_trains(checkpoint: Find, kind: str) -> None:
    model_class = {"imu_transformer": ImuTransformerModel, "imu2clip": Imu2ClipModel}[kind]
    model = model_class.from_pretrained(checkpoint(kind)).train()
    present = torch.tensor([[True] * 3 + [False] * 3])
    values = torch.randn(1, 6, WINDOW[kind])
    states = model(values, present=present).last_hidden_state
    (states * torch.randn_like(states)).sum().backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not silent


def test_paper_sized_imu2clip_window() -> None:
    config = Imu2ClipConfig()
    # 1000 samples, three times a convolution and pooling by 3.
    assert config.num_positions == 32
    assert Imu2ClipConfig(window_samples=128, pool_size=2).num_positions == 7


@pytest.mark.parametrize("length", [64, 100, 128])
def test_imu2clip_positions_match_the_stack(length: int) -> None:
    config = Imu2ClipConfig(
        window_samples=length, kernel_sizes=[4, 3], pool_size=2, conv_size=8, hidden_size=4
    )
    model = Imu2ClipModel(config)
    assert model(torch.randn(2, 6, length)).last_hidden_state.shape == (2, config.num_positions, 4)


def test_imu2clip_window_too_short_for_its_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="128 samples leaves no position after kernels"):
        Imu2ClipModel(Imu2ClipConfig(window_samples=128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_hz": 100}, r"rate_hz=100, but the checkpoint was trained at 50\.0 Hz"),
        ({"window_s": 2.56}, r"window_s=2.56, but .* windows of 1\.28 s"),
        ({"hop_s": 0}, "every 0 samples, .* each must be at least 1"),
        ({"hop_s": 2}, "every 100 samples would skip some; lower hop_s"),
        ({"max_windows": 0}, "at most 0 windows"),
    ],
)
def test_option_that_does_not_fit_is_refused(
    checkpoint: Find, options: dict[str, float], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("imu_transformer", checkpoint("imu_transformer"), **options)


def test_options_that_repeat_the_checkpoint_are_allowed(checkpoint: Find) -> None:
    path = checkpoint("imu_transformer")
    explicit = build_encoder("imu_transformer", path, rate_hz=50, window_s=1.28, hop_s=1.28)
    assert explicit.fingerprint == build_encoder("imu_transformer", path).fingerprint
