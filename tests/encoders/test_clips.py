import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    VideoMAEForPreTraining,
    VideoMAEImageProcessorPil,
    VideoMAEModel,
    VJEPA2Model,
    XCLIPModel,
)

from encoders.base import EncoderError, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Video

Find = Callable[[str], str]
KINDS = ["x_clip", "videomae", "vjepa2"]


def film(num_frames: int = 4) -> Video:
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 40, 50, 3), dtype=np.uint8)
    return Video(frames=frames, times_s=np.arange(num_frames) / 2, duration_s=num_frames / 2)


def encode(kind: str, path: str, **options: Any) -> Features:
    encoder = build_encoder(kind, path, **options)
    return encoder(stack_inputs([encoder.preprocessor(film())]))


@pytest.mark.parametrize("layer", [0, -2, None])
def test_videomae_tokens_equal_the_model_called_directly(
    checkpoint: Find, layer: int | None
) -> None:
    path = checkpoint("videomae")
    processor = VideoMAEImageProcessorPil.from_pretrained(path)
    inputs = processor(list(film().frames), return_tensors="pt")
    with torch.no_grad():
        output = VideoMAEModel.from_pretrained(path)(**inputs, output_hidden_states=True)
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    features = encode("videomae", path, layer=layer)
    torch.testing.assert_close(features.values, expected)
    assert features.steps[0].tolist() == [0] * 16 + [2] * 16


@pytest.mark.parametrize("layer", [0, -2, None])
def test_x_clip_tokens_equal_the_model_called_directly(checkpoint: Find, layer: int | None) -> None:
    path = checkpoint("x_clip")
    processor = VideoMAEImageProcessorPil.from_pretrained(path)
    pixels = processor(list(film().frames), return_tensors="pt")["pixel_values"][0]
    with torch.no_grad():
        output = XCLIPModel.from_pretrained(path).vision_model(pixels, output_hidden_states=True)
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    features = encode("x_clip", path, layer=layer)
    torch.testing.assert_close(features.values, expected[:, 1:].reshape(1, 64, -1))
    assert features.steps[0, ::16].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("layer", [0, -1, None])
def test_vjepa2_tokens_equal_the_model_called_directly(checkpoint: Find, layer: int | None) -> None:
    path = checkpoint("vjepa2")
    clip = build_encoder("vjepa2", path).preprocessor(film())["clip"]
    with torch.no_grad():
        output = VJEPA2Model.from_pretrained(path)(
            clip, skip_predictor=True, output_hidden_states=True
        )
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    torch.testing.assert_close(encode("vjepa2", path, layer=layer).values, expected)


def test_vjepa2_frames_are_resized_cropped_and_normalised(checkpoint: Find) -> None:
    grey = Video(
        frames=np.full((4, 40, 60, 3), 128, np.uint8), times_s=np.arange(4) / 2, duration_s=2
    )
    clip = build_encoder("vjepa2", checkpoint("vjepa2")).preprocessor(grey)["clip"]
    assert clip.shape == (1, 4, 3, 32, 32)
    expected = (128 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(clip[0, 0, :, 5, 5], expected)


def test_vjepa2_takes_other_clip_lengths(checkpoint: Find) -> None:
    path = checkpoint("vjepa2")
    assert encode("vjepa2", path, num_frames=8).steps.unique().tolist() == [0, 2, 4, 6]
    with pytest.raises(EncoderError, match="num_frames=3 must be a positive multiple of 2"):
        build_encoder("vjepa2", path, num_frames=3)


def test_vjepa2_needs_no_predictor(checkpoint: Find) -> None:
    encoder = build_encoder("vjepa2", checkpoint("vjepa2"))
    assert isinstance(encoder, torch.nn.Module)
    assert not any("predictor" in name for name in encoder.state_dict())


def test_videomae_loads_from_a_pretraining_checkpoint(checkpoint: Find, tmp_path: Path) -> None:
    path = checkpoint("videomae")
    whole = VideoMAEForPreTraining(VideoMAEModel.from_pretrained(path).config)
    whole.videomae = VideoMAEModel.from_pretrained(path)
    whole.save_pretrained(tmp_path)
    shutil.copy(Path(path, "preprocessor_config.json"), tmp_path)
    torch.testing.assert_close(
        encode("videomae", str(tmp_path)).values, encode("videomae", path).values
    )


@pytest.mark.parametrize("section", ["video_processor", "image_processor"])
def test_options_inside_a_processor_file_are_found(
    checkpoint: Find, tmp_path: Path, section: str
) -> None:
    path = Path(shutil.copytree(checkpoint("vjepa2"), tmp_path / "vjepa2"))
    options = path / "video_preprocessor_config.json"
    whole = json.dumps({section: json.loads(options.read_text())})
    (path / "processor_config.json").write_text(whole)
    options.unlink()
    encoder = build_encoder("vjepa2", str(path))
    assert encoder.fingerprint == build_encoder("vjepa2", checkpoint("vjepa2")).fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_missing_processor_is_named(checkpoint: Find, tmp_path: Path, kind: str) -> None:
    path = Path(shutil.copytree(checkpoint(kind), tmp_path / kind))
    for file in path.glob("*processor_config.json"):
        file.unlink()
    with pytest.raises(EncoderError, match="has no processor configuration"):
        build_encoder(kind, str(path))
