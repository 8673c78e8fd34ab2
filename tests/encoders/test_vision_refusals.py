"""Views of a vision tower that do not fit it are refused, by the encoder and by the plan alike."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.base import EncoderError
from encoders.outline import Outline, outline
from encoders.registry import build_encoder
from tests.encoders.conftest import image
from tests.encoders.larger_models import save_larger

Find = Callable[[str], str]


def outlined(kind: str, path: str, **options: Any) -> Outline:
    return outline(kind, None, path, **options)


def test_a_checkpoint_of_another_tower_is_refused(tmp_path: Path) -> None:
    model = save_larger("vipllava", tmp_path)
    model.model.language_model.save_pretrained(tmp_path / "words")
    weights = tmp_path / "words" / "model.safetensors"
    weights.rename(tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match=r"lacks \d+ weights of CLIPVisionModel"):
        build_encoder("vision", str(tmp_path))


def test_padded_pictures_are_refused(tmp_path: Path) -> None:
    save_larger("idefics3", tmp_path)
    encoder = build_encoder("vision", str(tmp_path))
    preprocessor: Any = encoder.preprocessor
    make = preprocessor.processor.preprocess

    def padded(*args: Any, **options: Any) -> Any:
        batch = make(*args, **options)
        batch["pixel_attention_mask"][..., -1] = 0
        return batch

    preprocessor.processor.preprocess = padded
    with pytest.raises(EncoderError, match="pads pictures to a common size; set"):
        encoder.preprocessor(image())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip", {"layer": []}, r"layer: \[\] must be a number, some numbers, or null"),
        ("clip", {"layer": "last"}, "layer: 'last' must be a number"),
        ("clip", {"layer": [1, "2"]}, "must be a number, some numbers"),
        ("clip", {"layer": [1, 9]}, "layer 9 does not exist"),
        ("clip", {"order": "spiral"}, "unknown order 'spiral'; known: raster, blocks"),
        ("clip", {"pooled": True}, "follows the last layer; set layer: null"),
        ("clip", {"pooled": True, "layer": None, "pool": 2}, "leave out post_norm, pool and order"),
        ("clip", {"post_norm": True, "layer": None}, "layer: -1 is the last"),
        ("clip", {"projected": True, "layer": [0, 1]}, "projected: true takes one layer"),
        ("clip", {"order": "blocks", "drop_cls": False}, "set drop_cls: true"),
        ("clip", {"block_size": 4}, "block_size is the side of a square; set order"),
        ("clip", {"order": "blocks", "block_size": 1}, "block_size=1 must be at least 2"),
        ("clip", {"order": "blocks", "block_size": 3}, "4 x 4 does not divide into squares of 3"),
        ("siglip2", {"order": "blocks"}, "needs pictures of one size"),
        ("siglip", {"projected": True}, "a siglip_vision_model has no projection"),
        ("resnet", {"layer": [0, 1]}, "ResNetModel is convolutional; give one layer"),
        ("resnet", {"post_norm": True}, "ResNetModel has no norm after its last layer"),
    ],
)
def test_view_that_does_not_fit_is_refused_when_built_and_planned(
    checkpoint: Find, name: str, options: dict[str, Any], message: str
) -> None:
    for make in (build_encoder, outlined):
        with pytest.raises(EncoderError, match=message):
            make("vision", checkpoint(name), **options)


def test_a_last_layer_that_is_normalised_already_is_refused(
    checkpoint: Find, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tie_last_hidden_states": True}))
    build_encoder("vision", str(path), layer=-2, post_norm=True)
    for make in (build_encoder, outlined):
        with pytest.raises(EncoderError, match="layer -1 of ViTModel is normalised already"):
            make("vision", str(path), layer=-1, post_norm=True)


def test_tower_that_does_not_pool_is_refused(tmp_path: Path) -> None:
    save_larger("internvl", tmp_path)
    with pytest.raises(EncoderError, match="InternVLVisionModel does not pool; leave it out"):
        build_encoder("vision", str(tmp_path), layer=None, pooled=True)


def test_too_many_tiles_are_refused(tmp_path: Path) -> None:
    save_larger("internvl", tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_patches": 10**6}))
    for make in (build_encoder, outlined):
        with pytest.raises(EncoderError, match="up to 1000000 tiles; set max_patches to at most"):
            make("vision", str(tmp_path))


def test_a_half_without_its_projection_is_refused(checkpoint: Find) -> None:
    with pytest.raises(EncoderError, match="lacks 1 weights of CLIPVisionModelWithProjection"):
        build_encoder("vision", checkpoint("clip_vision"), projected=True)
