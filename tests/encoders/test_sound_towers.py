"""Encoders that were made from Whisper's, against the published models that read with them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModel,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    VoxtralProcessor,
    WhisperFeatureExtractor,
    WhisperModel,
)

from aligners.projection import Projection
from encoders.base import EncoderError, EncoderInputs, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Audio
from tests.encoders.conftest import audio
from tests.encoders.sound_towers import qwen2_audio_config

Find = Callable[[str], str]
HOP = 160
MASKED = {"silence": "masked"}
VOXTRAL = {"silence": "kept", "spectrogram": "recording"}
ULTRAVOX = {"silence": "masked", "spectrogram": "bare", "group": 8}


def encode(path: str, *sounds: Audio, **options: Any) -> Features:
    encoder = build_encoder("whisper", path, **options)
    return encoder(stack_inputs([encoder.preprocessor(sound) for sound in sounds]))


def real(features: Features, item: int = 0) -> Tensor:
    return features.values[item][features.mask[item]]


def read_by_qwen2_audio(path: str, sounds: list[Audio]) -> list[Tensor]:
    """What the class gives its projector for each sound, cut to the number of its words."""
    sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    text = Qwen2Config(**sizes, num_attention_heads=1, num_key_value_heads=1)
    config = Qwen2AudioConfig(
        audio_config=qwen2_audio_config().to_dict(), text_config=text.to_dict(), audio_token_index=1
    )
    model = Qwen2AudioForConditionalGeneration(config).eval()
    model.model.audio_tower = AutoModel.from_pretrained(path).eval()
    given: list[Tensor] = []
    model.model.multi_modal_projector.register_forward_pre_hook(
        lambda _, args: given.append(args[0])
    )
    extractor = WhisperFeatureExtractor.from_pretrained(path)
    mel = extractor(
        [sound.samples for sound in sounds],
        sampling_rate=16000,
        return_attention_mask=True,
        padding="max_length",
        return_tensors="pt",
    )
    positions = (mel.attention_mask.sum(dim=1) - 1) // 2 + 1
    counts = (positions - 2) // 2 + 1
    ids = torch.full((len(sounds), int(counts.max()) + 1), 2)
    for row, count in zip(ids, counts.tolist(), strict=True):
        row[:count] = 1
    with torch.no_grad():
        model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=mel.input_features,
            feature_attention_mask=mel.attention_mask,
        )
    return [one[:count] for one, count in zip(given[0], counts.tolist(), strict=True)]


def test_a_masked_tower_equals_the_class(checkpoint: Find) -> None:
    path = checkpoint("qwen2_audio_encoder")
    sounds = [audio(seconds, seed=seed) for seed, seconds in enumerate([0.3, 1.0, 0.617, 1.7])]
    theirs = read_by_qwen2_audio(path, sounds)
    ours = encode(path, *sounds, max_windows=1, **MASKED)
    assert [len(one) for one in theirs] == ours.mask.sum(dim=1).tolist() == [7, 25, 15, 25]
    for number, expected in enumerate(theirs):
        torch.testing.assert_close(real(ours, number), expected, atol=1e-5, rtol=1e-5)


def test_a_short_context_changes_no_feature_where_silence_is_masked(checkpoint: Find) -> None:
    path = checkpoint("qwen2_audio_encoder")
    sounds = [audio(seconds, seed=seed) for seed, seconds in enumerate([0.3, 0.96, 0.01, 1.35])]
    whole = encode(path, *sounds, **MASKED)
    short = encode(path, *sounds, context_s=0.25, **MASKED)  # 13 positions are 6.5 features: 14
    assert short.mask.sum(dim=1).tolist() == whole.mask.sum(dim=1).tolist()
    for number in range(len(sounds)):
        torch.testing.assert_close(real(short, number), real(whole, number), atol=1e-5, rtol=1e-5)


def test_without_the_mask_silence_is_heard(checkpoint: Find) -> None:
    path = checkpoint("qwen2_audio_encoder")
    heard, masked = encode(path, audio(0.3)), encode(path, audio(0.3), **MASKED)
    assert torch.equal(heard.mask, masked.mask)
    assert (real(heard) - real(masked)).norm() > 0.01 * real(masked).norm()


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.0005, 2.5])
def test_a_recording_cut_into_chunks_equals_the_class(checkpoint: Find, seconds: float) -> None:
    path, sound = checkpoint("voxtral_encoder"), audio(seconds)
    sound.samples[:8000] *= 0.01  # the first chunk alone would be scaled to its own loudest
    extractor: Any = SimpleNamespace(
        feature_extractor=WhisperFeatureExtractor.from_pretrained(path)
    )
    mel = VoxtralProcessor._retrieve_input_features(
        extractor,
        [sound.samples],
        100,
        sampling_rate=16000,
        padding=True,
        truncation=False,
        pad_to_multiple_of=16000,
        return_tensors="pt",
    )
    encoder = build_encoder("whisper", path, **VOXTRAL)
    ours = encoder.preprocessor(sound)
    torch.testing.assert_close(ours["input_features"], mel, atol=1e-5, rtol=0)
    assert ours["real"].all()
    with torch.no_grad():
        theirs = AutoModel.from_pretrained(path)(mel).last_hidden_state
    features = encoder(stack_inputs([ours]))
    torch.testing.assert_close(real(features), theirs.flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_a_long_recording_gives_chunks_from_first_to_last(checkpoint: Find) -> None:
    path = checkpoint("voxtral_encoder")
    every = encode(path, audio(4.5), **VOXTRAL).values[0].unflatten(0, (5, 50))
    few = encode(path, audio(4.5), **VOXTRAL, max_windows=3).values[0].unflatten(0, (3, 50))
    assert torch.equal(few, every[[0, 2, 4]])


def read_by_ultravox(tower: Any, chunk: Tensor) -> Tensor:
    """Ultravox's tower on one chunk `[K, T]`, T even: Whisper's at the length of the sound."""
    states = F.gelu(tower.conv2(F.gelu(tower.conv1(chunk[None])))).transpose(1, 2)
    states = states + tower.embed_positions.weight[: states.shape[1]]
    for layer in tower.layers:
        states = layer(states, None)
    made: Tensor = tower.layer_norm(states)[0]
    return made


@pytest.mark.parametrize("seconds", [0.01, 0.4, 0.93, 1.0, 1.615, 2.4])
def test_a_bare_sound_equals_whisper_at_its_length(checkpoint: Find, seconds: float) -> None:
    path, sound = checkpoint("whisper"), audio(seconds)
    extractor = WhisperFeatureExtractor.from_pretrained(path)
    samples = F.pad(torch.from_numpy(sound.samples), (0, max(0, 2 * HOP - len(sound.samples))))
    mel = extractor(
        samples.numpy(),
        sampling_rate=16000,
        padding="longest",
        pad_to_multiple_of=HOP,
        truncation=False,
        return_tensors="pt",
    ).input_features[0]
    mel = F.pad(mel, (0, mel.shape[1] % 2))  # an odd frame is followed by what pads a batch
    tower = WhisperModel.from_pretrained(path).encoder.eval()
    with torch.no_grad():
        chunks = [read_by_ultravox(tower, chunk) for chunk in mel.split(100, dim=1)]
    # Its projector fills each chunk up to groups of 8.
    expected = torch.cat([F.pad(chunk, (0, 0, 0, -len(chunk) % 8)) for chunk in chunks])
    ours = encode(path, sound, **ULTRAVOX)
    torch.testing.assert_close(real(ours), expected, atol=1e-5, rtol=1e-5)


def test_groups_that_end_with_their_window_are_merged_alone(checkpoint: Find) -> None:
    features = encode(checkpoint("whisper"), audio(1.5), **ULTRAVOX)
    merging = Projection(
        encoder_dim=16, llm_dim=8, embedding_rms=0.1, num_tokens=None, merge=8, norm="rms"
    )
    first = encode(checkpoint("whisper"), audio(1.0), **ULTRAVOX)
    assert merging(features).counts() == [7 + 4]
    assert merging(first).counts() == [7]


def test_what_follows_a_masked_sound_changes_nothing(checkpoint: Find) -> None:
    encoder = build_encoder("whisper", checkpoint("whisper"), silence="masked")
    inputs = encoder.preprocessor(audio(0.4))
    other = inputs["input_features"].clone()
    other[:, :, 42:] = torch.randn(1, 20, 58)  # the convolutions reach two frames beyond the sound
    changed = encoder(stack_inputs([inputs | {"input_features": other}]))
    assert torch.equal(changed.values, encoder(stack_inputs([inputs])).values)


def test_a_whisper_that_takes_a_mask_hears_a_full_chunk_as_before(checkpoint: Find) -> None:
    path = checkpoint("whisper")
    whole = encode(path, audio(1.0)).values
    torch.testing.assert_close(encode(path, audio(1.0), **MASKED).values, whole)


def test_bfloat16_is_masked_too(checkpoint: Find) -> None:
    encoder: Any = build_encoder("whisper", checkpoint("qwen2_audio_encoder"), **MASKED)
    inputs: EncoderInputs = stack_inputs([encoder.preprocessor(audio(0.3))])
    exact = encoder(inputs).values
    rounded = encoder.to(torch.bfloat16)(inputs).values
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    "option", [MASKED, {"silence": "kept"}, {"spectrogram": "bare"}, MASKED | {"group": 4}]
)
def test_each_option_changes_the_fingerprint(checkpoint: Find, option: dict[str, Any]) -> None:
    path = checkpoint("whisper")
    changed = build_encoder("whisper", path, **option).fingerprint
    assert changed != build_encoder("whisper", path).fingerprint


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("qwen2_audio_encoder", {"layer": 1}, "averages 2 positions behind its last layer"),
        ("whisper", {"spectrogram": "bare", "window_s": 0.5}, "leave window_s out"),
        ("whisper", {"silence": "hidden"}, "unknown silence 'hidden'; known: masked, kept"),
        ("whisper", {"spectrogram": "whole"}, "unknown spectrogram 'whole'; known: recording"),
        ("whisper", {"group": 0}, "group is 0; it must be at least 1"),
        ("whisper", {"group": 4}, "give silence: masked or kept"),
        ("ast", {}, "model type 'audio-spectrogram-transformer'; known: whisper, qwen2_audio"),
    ],
)
def test_what_does_not_fit_is_refused(
    checkpoint: Find, tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    path = Path(shutil.copytree(checkpoint(name), tmp_path / name))
    if name == "ast":
        WhisperFeatureExtractor(feature_size=20).save_pretrained(path)
    with pytest.raises(EncoderError, match=message):
        build_encoder("whisper", str(path), **options)
