import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionModel,
    ConvNextImageProcessorPil,
    Dinov2Model,
    ResNetModel,
    Siglip2ImageProcessorPil,
    Siglip2VisionModel,
    SiglipImageProcessorPil,
    SiglipModel,
    ViTForImageClassification,
    ViTImageProcessorPil,
    ViTModel,
)

from encoders.base import EncoderError, Features, stack_inputs
from encoders.registry import build_encoder
from encoders.signals import Image

Find = Callable[[str], str]
PROCESSORS = {
    "clip": CLIPImageProcessorPil,
    "clip_vision": CLIPImageProcessorPil,
    "siglip": SiglipImageProcessorPil,
    "siglip2": Siglip2ImageProcessorPil,
    "dinov2": ViTImageProcessorPil,
    "vit": ViTImageProcessorPil,
    "resnet": ConvNextImageProcessorPil,
}


def picture(seed: int = 0, height: int = 40, width: int = 50) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image(pixels=pixels)


def encode(path: str, *, image: Image | None = None, **options: Any) -> Features:
    encoder = build_encoder("vision", path, **options)
    return encoder(stack_inputs([encoder.preprocessor(image or picture())]))


def own_inputs(path: str, image: Image | None = None) -> dict[str, torch.Tensor]:
    processor = PROCESSORS[Path(path).name.rstrip("0")].from_pretrained(path)
    pixels = (image or picture()).pixels
    return dict(processor(PIL.Image.fromarray(pixels), return_tensors="pt"))


@pytest.mark.parametrize(
    ("name", "model_class", "tower"),
    [
        ("clip", CLIPModel, "vision_model"),
        ("clip_vision", CLIPVisionModel, None),
        ("siglip", SiglipModel, "vision_model"),
        ("siglip2", Siglip2VisionModel, None),
        ("dinov2", Dinov2Model, None),
        ("vit", ViTModel, None),
    ],
)
@pytest.mark.parametrize("layer", [0, 1, -2, -1, None])
def test_tokens_equal_the_model_called_directly(
    checkpoint: Find, name: str, model_class: type, tower: str | None, layer: int | None
) -> None:
    path = checkpoint(name)
    model = model_class.from_pretrained(path)
    model = getattr(model, tower) if tower else model
    with torch.no_grad():
        output = model(**own_inputs(path), output_hidden_states=True)
    expected = output.last_hidden_state if layer is None else output.hidden_states[layer]
    features = encode(path, layer=layer, drop_cls=False)
    real = features.mask[0]
    torch.testing.assert_close(features.values[0, real], expected[0, : real.sum()])


@pytest.mark.parametrize(("layer", "stage"), [(-1, 2), (-2, 1), (0, 0)])
def test_convolutional_maps_become_rows_of_tokens(checkpoint: Find, layer: int, stage: int) -> None:
    path = checkpoint("resnet")
    with torch.no_grad():
        maps = ResNetModel.from_pretrained(path)(
            **own_inputs(path), output_hidden_states=True
        ).hidden_states[stage]
    features = encode(path, layer=layer)
    height, width = maps.shape[2:]
    assert features.values.shape == (1, height * width, maps.shape[1])
    torch.testing.assert_close(features.values[0, width + 1], maps[0, :, 1, 1])


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2", "dinov2", "vit", "resnet"])
def test_preprocessing_equals_the_image_processor(checkpoint: Find, name: str) -> None:
    path = checkpoint(name)
    ours = build_encoder("vision", path).preprocessor(picture())
    theirs = own_inputs(path)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=0)


def test_class_token_is_dropped_and_nothing_else(checkpoint: Find) -> None:
    path = checkpoint("clip")
    everything = encode(path, drop_cls=False).values
    patches = encode(path).values
    assert everything.shape[1] == 17
    torch.testing.assert_close(patches, everything[:, 1:])


def test_pool_averages_the_patch_grid(checkpoint: Find) -> None:
    path = checkpoint("clip")
    grid = encode(path).values.reshape(4, 4, -1)
    pooled = encode(path, pool=2).values[0]
    assert len(pooled) == 4
    torch.testing.assert_close(pooled[1], grid[:2, 2:].mean(dim=(0, 1)))


def test_pool_averages_a_ragged_grid(checkpoint: Find) -> None:
    path = checkpoint("siglip2")
    height, width = own_inputs(path)["spatial_shapes"][0].tolist()
    grid = encode(path).values[0, : height * width].reshape(height, width, -1)
    pooled = encode(path, pool=1).values[0]
    torch.testing.assert_close(pooled[0], grid.mean(dim=(0, 1)))


def test_padding_of_a_ragged_grid_is_masked(checkpoint: Find) -> None:
    path = checkpoint("siglip2")
    wide = picture(height=40, width=100)
    num_patches = own_inputs(path, wide)["pixel_attention_mask"].sum()
    features = encode(path, image=wide)
    assert features.mask.sum() == num_patches < features.mask.numel()


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov2", "vit", "resnet"])
def test_size_changes_the_grid(checkpoint: Find, name: str) -> None:
    small = encode(checkpoint(name)).values
    large = encode(checkpoint(name), size=64).values
    assert large.shape[1] == 4 * small.shape[1]


def test_image_steps_are_zero(checkpoint: Find) -> None:
    assert not encode(checkpoint("vit")).steps.any()


def test_whole_model_and_its_vision_half_agree(checkpoint: Find, tmp_path: Path) -> None:
    path = checkpoint("clip")
    CLIPModel.from_pretrained(path).vision_model.save_pretrained(tmp_path)
    shutil.copy(Path(path, "preprocessor_config.json"), tmp_path)
    torch.testing.assert_close(encode(str(tmp_path)).values, encode(path).values)


@pytest.mark.parametrize(
    "name",
    [
        {"image_processor_type": "CLIPImageProcessorFast"},
        {"image_processor_type": "CLIPImageProcessorPil"},
        {"feature_extractor_type": "CLIPFeatureExtractor"},
        {},
    ],
)
def test_processor_of_any_backend_uses_the_portable_class(
    checkpoint: Find, tmp_path: Path, name: dict[str, str]
) -> None:
    path = Path(shutil.copytree(checkpoint("clip"), tmp_path / "clip"))
    file = path / "preprocessor_config.json"
    options = json.loads(file.read_text())
    del options["image_processor_type"]
    file.write_text(json.dumps(options | name))
    encoder = build_encoder("vision", str(path))
    assert encoder.fingerprint == build_encoder("vision", checkpoint("clip")).fingerprint


def test_processor_inside_a_processor_file_is_found(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("clip"), tmp_path / "clip"))
    file = path / "preprocessor_config.json"
    whole = json.dumps({"image_processor": json.loads(file.read_text())})
    (path / "processor_config.json").write_text(whole)
    file.unlink()
    encoder = build_encoder("vision", str(path))
    assert encoder.fingerprint == build_encoder("vision", checkpoint("clip")).fingerprint


def test_processor_that_needs_torchvision_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    options = {"image_processor_type": "DINOv3ViTImageProcessorFast"}
    (path / "preprocessor_config.json").write_text(json.dumps(options))
    with pytest.raises(EncoderError, match="no DINOv3ViTImageProcessor that works without"):
        build_encoder("vision", str(path))


def test_missing_pooler_leaves_the_fingerprint_stable(checkpoint: Find, tmp_path: Path) -> None:
    model = ViTModel.from_pretrained(checkpoint("vit"))
    classifier = ViTForImageClassification(model.config)
    classifier.vit.load_state_dict(model.state_dict(), strict=False)
    classifier.save_pretrained(tmp_path)
    shutil.copy(Path(checkpoint("vit"), "preprocessor_config.json"), tmp_path)
    first = build_encoder("vision", str(tmp_path))
    torch.manual_seed(1)
    second = build_encoder("vision", str(tmp_path))
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit", {"layer": 4}, "layer 4 does not exist; .* -4 to 3"),
        ("vit", {"layer": -5}, "layer -5 does not exist"),
        ("vit", {"pool": 5}, "pool=5 is larger than the patch grid"),
        ("vit", {"pool": 0}, "pool=0 must be at least 1"),
        ("siglip2", {"size": 32}, "size=32 cannot be applied to Siglip2"),
        ("vit", {"size": 0}, "size=0 cannot be applied"),
    ],
)
def test_option_that_does_not_fit_is_refused(
    checkpoint: Find, name: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("vision", checkpoint(name), **options)


def test_missing_processor_is_named(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match="no processor configuration; save"):
        build_encoder("vision", str(path))
