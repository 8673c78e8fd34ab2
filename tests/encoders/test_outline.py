"""An outline says beforehand what the encoder then is, for every kind."""

from collections.abc import Callable
from typing import Any

import pytest
from transformers import CLIPVisionConfig, Dinov2Config, ResNetConfig, WhisperConfig

from encoders.base import EncoderError, stack_inputs
from encoders.outline import outline
from encoders.registry import build_encoder
from tests.encoders.conftest import audio, image, motion, video
from tests.encoders.test_contract import CASES, IDS

# Longer than any of the tiny models takes.
LONGEST = {
    "vision": image(),
    "tiles": image(64, 64),
    "pixels": image(48, 64),
    "frames": video(40),
    "clips": video(40),
    "audio": audio(30, 8000),
    "imu": motion(90, 50),
}
SIGNALS = {
    kind: LONGEST[name]
    for name, kinds in {
        "vision": ["vision", "imagebind_vision"],
        "tiles": ["tiles"],
        "pixels": ["pixels"],
        "frames": ["frames"],
        "clips": ["x_clip", "videomae", "vjepa2"],
        "audio": ["clap", "whisper", "ast", "spectrogram", "imagebind_audio"],
        "imu": ["imu_transformer", "imu2clip", "imagebind_imu"],
    }.items()
    for kind in kinds
}


@pytest.mark.parametrize(("kind", "name", "options"), CASES, ids=IDS)
def test_outline_equals_the_built_encoder(
    checkpoint: Callable[[str], str], kind: str, name: str, options: dict[str, Any]
) -> None:
    path = checkpoint(name)
    told = outline(kind, None, path, **options)
    encoder: Any = build_encoder(kind, path, **options)
    inputs = stack_inputs([encoder.preprocessor(SIGNALS[kind])])
    features = encoder(inputs)
    assert told.width == encoder.width
    assert told.num_features == features.values.shape[1]
    assert told.num_windows == len(next(iter(inputs.tensors.values())))
    assert told.num_parameters == sum(p.numel() for p in encoder.model.parameters())


def test_a_hub_id_is_outlined_from_its_configuration_alone() -> None:
    told = outline("vision", CLIPVisionConfig(), "some/clip", layer=-2)
    assert (told.width, told.num_features, told.num_windows) == (768, 49, 1)
    frames = outline("frames", CLIPVisionConfig(), "some/clip", num_frames=4, drop_cls=False)
    assert (frames.num_features, frames.num_windows) == (4 * 50, 4)
    larger = outline("vision", CLIPVisionConfig(), "some/clip", size=256)
    assert larger.num_features == 64


def test_dinov2_is_cropped_as_published() -> None:
    config = Dinov2Config(image_size=518, patch_size=14, num_hidden_layers=1)
    assert outline("vision", config, "some/dinov2", layer=-1).num_features == 16 * 16


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("clipp", None, "unknown encoder 'clipp'"),
        ("vision", None, "'some/where' is no local folder; give the configuration"),
        ("vision", ResNetConfig(), "does not say how large pictures are; give size"),
        ("spectrogram", ResNetConfig(), "described by the preprocessor_config.json"),
    ],
)
def test_what_cannot_be_told_is_an_error(kind: str, config: Any, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        outline(kind, config, "some/where")


def test_options_are_checked_as_the_encoder_checks_them() -> None:
    with pytest.raises(EncoderError, match="unknown option 'depth' of encoder 'vision'"):
        outline("vision", CLIPVisionConfig(), "some/clip", depth=1)
    with pytest.raises(EncoderError, match="layer 9 does not exist"):
        outline("whisper", WhisperConfig(encoder_layers=2), "some/whisper", layer=9)
    with pytest.raises(EncoderError, match="looks at 0 windows of a media item"):
        outline("imu2clip", None, "not/there/yet", max_windows=0)
    with pytest.raises(EncoderError, match="looks at -1 windows of a media item"):
        outline("frames", CLIPVisionConfig(), "some/clip", num_frames=-1)


def test_own_kinds_have_their_default_sizes_without_a_folder() -> None:
    told = outline("imu2clip", None, "not/there/yet", max_windows=2)
    assert (told.width, told.num_windows) == (512, 2)
