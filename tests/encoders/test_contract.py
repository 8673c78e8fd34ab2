"""What every encoder kind promises, on a tiny random checkpoint of each class."""

import pickle
from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import signature
from typing import Any

import pytest
import torch

from encoders import frozen
from encoders.base import Encoder, EncoderError, Features, stack_inputs
from encoders.registry import ENCODERS, build_encoder
from encoders.signals import Signal

# kind, checkpoint, options
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("vision", "clip", {}),
    ("vision", "clip_vision", {"layer": -1, "drop_cls": False}),
    ("vision", "siglip", {"pool": 2}),
    ("vision", "siglip2", {}),
    ("vision", "siglip2", {"pool": 2}),
    ("vision", "dinov2", {"size": 48}),
    ("vision", "vit", {}),
    ("vision", "resnet", {}),
    ("tiles", "clip_tiles", {}),
    ("tiles", "clip_tiles", {"drop_cls": False, "unpad": "floor"}),
    ("tiles", "siglip", {"grid": [[64, 64], [32, 96]], "pool": 2}),
    ("pixels", "fuyu", {}),
    ("pixels", "fuyu", {"patch": 16}),
    ("vision", "clip", {"layer": [-2, 1], "post_norm": True}),
    ("vision", "siglip", {"order": "blocks"}),
    ("frames", "clip", {"num_frames": 4}),
    ("frames", "clip", {"layer": None, "pooled": True, "projected": True, "unit": True}),
    ("frames", "resnet", {"num_frames": 4, "layer": -1}),
    ("x_clip", "x_clip", {}),
    ("videomae", "videomae", {}),
    ("vjepa2", "vjepa2", {}),
    ("clap", "clap", {}),
    ("clap", "clap_fused", {"window_s": 1.0}),
    ("whisper", "whisper", {}),
    ("whisper", "whisper_encoder", {"window_s": 0.5}),
    ("whisper", "whisper", {"silence": "masked", "spectrogram": "bare", "group": 8}),
    ("whisper", "qwen2_audio_encoder", {"silence": "masked"}),
    ("whisper", "voxtral_encoder", {"silence": "kept", "spectrogram": "recording"}),
    ("ast", "ast", {}),
    ("spectrogram", "spectrogram", {}),
    ("imu_transformer", "imu_transformer", {}),
    ("imu_transformer", "imu_transformer", {"hop_s": 0.64, "max_windows": 3}),
    ("imu2clip", "imu2clip", {}),
    ("imagebind_vision", "imagebind", {}),
    ("imagebind_audio", "imagebind", {"layer": 1, "drop_cls": True}),
    ("imagebind_imu", "imagebind", {"rate_hz": 400.0, "window_s": 5.0}),
    ("imagebind_imu", "imagebind", {"rate_hz": 1000.0, "window_s": 2.0, "pooled": True}),
]
IDS = [f"{kind}-{name}-{'-'.join(map(str, options.values()))}" for kind, name, options in CASES]
Case = tuple[str, Encoder]


@pytest.fixture(name="case", params=CASES, ids=IDS, scope="module")
def _case(request: pytest.FixtureRequest, checkpoint: Callable[[str], str]) -> Case:
    kind, name, options = request.param
    return kind, build_encoder(kind, checkpoint(name), **options)


def encoder_name(encoder: Any) -> str:
    return type(encoder.model).__name__


def encode(encoder: Encoder, signals: list[Signal]) -> Features:
    return encoder(stack_inputs([encoder.preprocessor(signal) for signal in signals]))


def test_convolutions_are_laid_out_as_a_cpu_is_fast_with(case: Case) -> None:
    _, encoder = case
    assert isinstance(encoder, torch.nn.Module)
    layers = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in layers)


def test_every_kind_is_covered() -> None:
    assert {kind for kind, _, _ in CASES} == set(ENCODERS)


def test_shapes_and_types(case: Case, signals: Callable[[str], list[Signal]]) -> None:
    kind, encoder = case
    features = encode(encoder, signals(kind))
    num_items, num_features, width = features.values.shape
    assert num_items == 3
    assert width == encoder.width
    assert num_features > 1
    assert features.values.dtype == torch.float32
    assert features.mask.shape == features.steps.shape == (num_items, num_features)
    assert features.mask.dtype == torch.bool
    assert features.steps.dtype == torch.int64
    assert features.mask.any(dim=1).all()
    assert features.values.isfinite().all()
    assert not features.values[~features.mask].any()
    assert (features.steps >= 0).all()


def test_layout_counts_real_features_before_they_are_made(
    case: Case, signals: Callable[[str], list[Signal]]
) -> None:
    kind, encoder = case
    if encoder.layout is None:  # a convolution keeps its secret
        assert encoder_name(encoder) in ("ResNetModel",)
        return
    layout = pickle.loads(pickle.dumps(encoder.layout))
    items = [encoder.preprocessor(signal) for signal in signals(kind)]
    told = [layout(item).count for item in items]
    assert told == encoder(stack_inputs(items)).mask.sum(dim=1).tolist()


def test_times_are_told_of_all_real_features(
    case: Case, signals: Callable[[str], list[Signal]]
) -> None:
    kind, encoder = case
    if (times := getattr(encoder, "times", None)) is None:
        assert kind in ("vision", "tiles", "pixels", "clap") or kind.startswith("imagebind")
        return
    times = pickle.loads(pickle.dumps(times))
    given: list[Any] = signals(kind)
    items = [encoder.preprocessor(signal) for signal in given]
    told = [times(signal, item) for signal, item in zip(given, items, strict=True)]
    mask = encoder(stack_inputs(items)).mask
    assert [len(own) for own in told] == mask.sum(dim=1).tolist()
    assert all(float(own.min()) >= 0 for own in told)


def test_batch_equals_single(case: Case, signals: Callable[[str], list[Signal]]) -> None:
    kind, encoder = case
    batch = encode(encoder, signals(kind))
    for index, signal in enumerate(signals(kind)):
        single = encode(encoder, [signal])
        real = single.mask[0]
        num_own = len(real)
        assert torch.equal(batch.mask[index, :num_own], real)
        assert not batch.mask[index, num_own:].any()
        assert torch.equal(batch.steps[index, :num_own][real], single.steps[0][real])
        torch.testing.assert_close(
            batch.values[index, :num_own], single.values[0], atol=1e-5, rtol=1e-4
        )


def test_few_windows_at_a_time_equal_all_at_once(
    case: Case, signals: Callable[[str], list[Signal]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, encoder = case
    whole = encode(encoder, signals(kind))
    monkeypatch.setattr(frozen, "WINDOWS_AT_ONCE", 2)
    pieces = encode(encoder, signals(kind))
    assert torch.equal(whole.mask, pieces.mask)
    assert torch.equal(whole.steps, pieces.steps)
    torch.testing.assert_close(whole.values, pieces.values, atol=1e-5, rtol=1e-4)


def test_different_signals_give_different_features(
    case: Case, signals: Callable[[str], list[Signal]]
) -> None:
    kind, encoder = case
    features = encode(encoder, signals(kind))
    assert not torch.allclose(features.values[0, 0], features.values[1, 0], atol=1e-4)


def test_encoder_is_frozen(case: Case, signals: Callable[[str], list[Signal]]) -> None:
    kind, encoder = case
    assert isinstance(encoder, torch.nn.Module)
    before = encode(encoder, signals(kind)).values
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    after = encode(encoder, signals(kind)).values
    assert torch.equal(before, after)
    assert not after.requires_grad


def test_preprocessor_is_deterministic_and_picklable(
    case: Case, signals: Callable[[str], list[Signal]]
) -> None:
    kind, encoder = case
    assert is_dataclass(encoder.preprocessor)
    copy = pickle.loads(pickle.dumps(encoder.preprocessor))
    for signal in signals(kind):
        first = encoder.preprocessor(signal)
        second = copy(signal)
        assert len({len(tensor) for tensor in first.values()}) == 1
        assert len(next(iter(first.values()))) >= 1
        assert set(first) == set(second)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_fingerprint_is_stable(
    case: Case, checkpoint: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    kind, name, options = request.node.callspec.params["case"]
    _, encoder = case
    assert build_encoder(kind, checkpoint(name), **options).fingerprint == encoder.fingerprint
    assert len(bytes.fromhex(encoder.fingerprint)) == 32


# kind, checkpoint, hidden states of it
DEPTHS = [
    ("vision", "clip", 4),
    ("tiles", "clip_tiles", 4),
    ("frames", "clip", 4),
    ("x_clip", "x_clip", 4),
    ("videomae", "videomae", 4),
    ("vjepa2", "vjepa2", 3),
    ("whisper", "whisper", 3),
    ("ast", "ast", 4),
    ("spectrogram", "spectrogram", 3),
    ("imu_transformer", "imu_transformer", 4),
    ("imagebind_vision", "imagebind", 3),
    ("imagebind_audio", "imagebind", 3),
    ("imagebind_imu", "imagebind", 3),
]


@pytest.mark.parametrize(("kind", "name", "num_states"), DEPTHS, ids=[case[0] for case in DEPTHS])
def test_layer_beyond_the_depth_is_refused_when_built(
    checkpoint: Callable[[str], str],
    signals: Callable[[str], list[Signal]],
    kind: str,
    name: str,
    num_states: int,
) -> None:
    for layer in (num_states - 1, -num_states):
        encode(build_encoder(kind, checkpoint(name), layer=layer), signals(kind)[:1])
    for layer in (num_states, -num_states - 1):
        with pytest.raises(EncoderError, match=f"layer {layer} does not exist"):
            build_encoder(kind, checkpoint(name), layer=layer)


def kinds_with(option: str) -> set[str]:
    return {name for name, kind in ENCODERS.items() if option in signature(kind.build).parameters}


def test_every_kind_with_layers_is_covered() -> None:
    assert {kind for kind, _, _ in DEPTHS} == kinds_with("layer")


@pytest.mark.parametrize("kind", sorted(kinds_with("max_windows")))
def test_no_windows_are_refused_when_built(checkpoint: Callable[[str], str], kind: str) -> None:
    path = checkpoint("imagebind" if kind == "imagebind_imu" else kind)
    with pytest.raises(EncoderError, match=r"at most 0 windows: each must be at least 1"):
        build_encoder(kind, path, max_windows=0)


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_unknown_option_lists_the_known(kind: str) -> None:
    with pytest.raises(EncoderError, match=r"unknown option 'sise' .* known: "):
        build_encoder(kind, "nowhere", sise=3)


def test_unknown_kind_lists_the_known() -> None:
    with pytest.raises(
        EncoderError, match="unknown encoder 'clipp'; known: vision, tiles, pixels, frames"
    ):
        build_encoder("clipp", "nowhere")
