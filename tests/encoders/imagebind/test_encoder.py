"""ImageBind's encoders: preprocessing, tokens, the embedding, and the fingerprint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.audio_utils import spectrogram, window_function

from encoders.base import EncoderError, stack_inputs
from encoders.imagebind.checkpoint import load_trunk
from encoders.imagebind.encoder import ImageBindAudioPreprocessor
from encoders.registry import build_encoder
from encoders.signals import Audio, Image
from tests.encoders.conftest import audio, image, motion
from tests.encoders.imagebind.test_checkpoint import CLS, rewritten

Find = Callable[[str], str]


def kaldi_filters() -> np.ndarray[Any, Any]:
    """Triangles of equal width on Kaldi's mel scale, from 20 Hz to 8 kHz."""

    def mel(hz: Any) -> Any:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    corners = np.linspace(mel(20.0), mel(8000.0), 130)
    bins = mel(np.arange(257) * 16000 / 512)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def kaldi_log_mel(clip: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The logarithm of the bands' power, through transformers' own spectrogram."""
    window = window_function(400, "hann", periodic=False)
    return np.asarray(
        spectrogram(
            (clip - clip.mean()).astype(np.float64),
            window,
            frame_length=400,
            hop_length=160,
            fft_length=512,
            power=2.0,
            center=False,
            preemphasis=0.97,
            mel_filters=kaldi_filters(),
            log_mel="log",
            mel_floor=1.192092955078125e-07,
            remove_dc_offset=True,
        )
    )


def test_sound_is_cut_and_normalised_as_published() -> None:
    sound = audio(6.5)
    made = ImageBindAudioPreprocessor(num_clips=3)(sound)
    assert made["values"].shape == (3, 1, 128, 204)
    for index in range(3):  # (6.5 - 2) / 3 s apart, the first at the start
        start = index * 24000
        expected = np.zeros((128, 204), np.float32)
        expected[:, :198] = kaldi_log_mel(sound.samples[start : start + 32000])
        np.testing.assert_allclose(
            made["values"][index, 0].numpy(), (expected + 4.268) / 9.138, atol=2e-4
        )
    assert made["num_real"].tolist() == [198, 198, 198]


def test_a_short_sound_is_one_clip_whose_silence_is_masked(checkpoint: Find) -> None:
    encoder = build_encoder("imagebind_audio", checkpoint("imagebind"))
    made = encoder.preprocessor(audio(0.5))
    assert made["values"].shape == (1, 1, 128, 204)
    assert made["num_real"].tolist() == [48]  # (8000 - 400) // 160 + 1
    mask = encoder(stack_inputs([made])).mask[0]
    assert mask[0]
    assert mask[1:].reshape(12, 19).tolist() == [[True] * 5 + [False] * 14] * 12


def test_a_sound_shorter_than_a_frame_still_has_features(checkpoint: Find) -> None:
    encoder = build_encoder("imagebind_audio", checkpoint("imagebind"), drop_cls=True)
    click = Audio(samples=np.full(10, 0.5, np.float32), rate_hz=16000)
    mask = encoder(stack_inputs([encoder.preprocessor(click)])).mask
    assert mask.any()


def test_clips_are_steps_in_time(checkpoint: Find) -> None:
    encoder = build_encoder("imagebind_audio", checkpoint("imagebind"), num_clips=4)
    features = encoder(stack_inputs([encoder.preprocessor(audio(9.0))]))
    assert features.steps[0].tolist() == [step for step in range(4) for _ in range(229)]


def test_pictures_are_prepared_as_published(checkpoint: Find) -> None:
    grey = Image(pixels=np.full((300, 500, 3), 128, np.uint8))
    encoder = build_encoder("imagebind_vision", checkpoint("imagebind"))
    pixels = encoder.preprocessor(grey)["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    torch.testing.assert_close(pixels[0, :, 100, 100], (128 / 255 - mean) / std)


def test_motion_is_cut_into_windows_of_2000_samples(checkpoint: Find) -> None:
    path = checkpoint("imagebind")
    encoder = build_encoder("imagebind_imu", path)
    made = encoder.preprocessor(motion(7.0, 400))
    assert made["values"].shape == (2, 6, 2000)
    features = encoder(stack_inputs([made]))
    assert features.values.shape == (1, 2 * 251, 16)
    assert features.mask[0, 251:].tolist() == [True] * 101 + [False] * 150  # class, 800 samples
    slow = build_encoder("imagebind_imu", path, rate_hz=200.0, window_s=10.0)
    assert len(slow.preprocessor(motion(7.0, 400))["values"]) == 1


def test_rate_and_window_must_make_2000_samples(checkpoint: Find) -> None:
    with pytest.raises(EncoderError, match=r"make 1000 samples.*give window_s=10"):
        build_encoder("imagebind_imu", checkpoint("imagebind"), rate_hz=200.0)


def test_pooled_is_the_embedding_in_the_common_space(checkpoint: Find) -> None:
    path = checkpoint("imagebind")
    encoder = build_encoder("imagebind_audio", path, pooled=True)
    features = encoder(stack_inputs([encoder.preprocessor(audio(4.0))]))
    assert (encoder.width, features.values.shape) == (8, (1, 3, 8))
    torch.testing.assert_close(features.values.norm(dim=-1), torch.full((1, 3), 20.0))
    with pytest.raises(EncoderError, match="leave out layer and drop_cls"):
        build_encoder("imagebind_audio", path, pooled=True, layer=1)


def test_layers_are_the_trunks_own(checkpoint: Find) -> None:
    path = checkpoint("imagebind")
    encoder = build_encoder("imagebind_vision", path, layer=1, drop_cls=True)
    inputs = stack_inputs([encoder.preprocessor(image())])
    with torch.no_grad():
        output = load_trunk(path, "vision").eval()(inputs.tensors["pixel_values"])
    torch.testing.assert_close(encoder(inputs).values, output.hidden_states[1][:, 1:])
    with pytest.raises(EncoderError, match="layer 5 does not exist"):
        build_encoder("imagebind_vision", path, layer=5)


def test_whatever_changes_features_changes_the_fingerprint(
    checkpoint: Find, tmp_path: Path
) -> None:
    path = checkpoint("imagebind")
    scaled = rewritten(path, tmp_path, **{CLS: torch.ones(1, 1, 16)})
    prints = {
        build_encoder(kind, where, **options).fingerprint
        for kind, where, options in [
            ("imagebind_imu", path, {}),
            ("imagebind_imu", path, {"rate_hz": 200.0, "window_s": 10.0}),
            ("imagebind_imu", path, {"hop_s": 2.5}),
            ("imagebind_imu", path, {"max_windows": 4}),
            ("imagebind_imu", path, {"layer": 1}),
            ("imagebind_imu", path, {"drop_cls": True}),
            ("imagebind_imu", path, {"pooled": True}),
            ("imagebind_imu", str(scaled), {}),
            ("imagebind_audio", path, {}),
            ("imagebind_audio", path, {"num_clips": 2}),
        ]
    }
    assert len(prints) == 10


def test_heads_are_part_of_the_fingerprint(checkpoint: Find, tmp_path: Path) -> None:
    path = checkpoint("imagebind")
    folder = rewritten(path, tmp_path)
    sizes = json.loads((folder / "config.json").read_text())
    sizes["imu"]["num_heads"] = 4
    (folder / "config.json").write_text(json.dumps(sizes))
    ours, theirs = (build_encoder("imagebind_imu", str(p)) for p in (path, folder))
    assert ours.fingerprint != theirs.fingerprint
