"""Pictures of any size, held to LLaVA-NeXT's own packing and image processor."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextImageProcessorPil,
    LlavaNextModel,
)

from encoders.base import EncoderError, Features, Layout, stack_inputs
from encoders.layouts import PatchLayout
from encoders.outline import outline
from encoders.registry import build_encoder
from encoders.tiles import TileLayout
from tests.encoders.conftest import image

Find = Callable[[str], str]
# A tile of 24 x 24 features, as published, of 48 pixels.
SIDE, PATCH = 48, 2
GRID = [[48, 96], [96, 48], [96, 96], [144, 48], [48, 144]]
PUBLISHED = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
PARTS = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1}


def some_sizes(number: int) -> list[tuple[int, int]]:
    """Heights and widths, small and large, of any shape; first the oddest of all."""
    random = np.random.default_rng(0)
    sizes = np.exp(random.uniform(0, np.log(300), (number - 4, 2))).round().astype(int)
    return [(1, 300), (300, 1), (1, 1), (96, 96), *map(tuple, sizes.tolist())]


@pytest.fixture(scope="module", name="theirs")
def _theirs() -> Any:
    """The class, whose projector leaves features as they are."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(**PARTS, image_size=SIDE, patch_size=PATCH)
    text = LlamaConfig(**PARTS, vocab_size=50, num_key_value_heads=1)
    config = LlavaNextConfig(vision_config=vision, text_config=text, image_grid_pinpoints=GRID)
    model = LlavaNextModel(config).eval()
    model.multi_modal_projector = torch.nn.Identity()
    return model


@pytest.fixture(scope="module", name="folder")
def _folder(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower")
    theirs.vision_tower.save_pretrained(folder)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=GRID,
    )
    processor.save_pretrained(folder)
    return folder


def encode(encoder: Any, sizes: Sequence[tuple[int, int]]) -> Features:
    pictures = [image(*size, seed=number) for number, size in enumerate(sizes)]
    features: Features = encoder(stack_inputs([encoder.preprocessor(each) for each in pictures]))
    return features


@pytest.mark.parametrize("number", [40, pytest.param(500, marks=pytest.mark.slow)])
@torch.no_grad()
def test_features_equal_llava_nexts(theirs: Any, folder: Path, number: int) -> None:
    encoder = build_encoder("tiles", str(folder))
    processor = LlavaNextImageProcessorPil.from_pretrained(folder)
    newline = theirs.image_newline
    for seed, size in enumerate(some_sizes(number)):
        picture = image(*size, seed=seed)
        inputs = processor(picture.pixels, input_data_format="channels_last", return_tensors="pt")
        expected = theirs.get_image_features(**inputs, vision_feature_layer=-2).pooler_output[0]
        tensors = encoder.preprocessor(picture)
        features = encoder(stack_inputs([tensors]))
        told = encoder.layout(tensors)
        assert features.mask.all()
        assert told.count == features.values.shape[1]
        # Ours has no newlines yet: they end the rows behind the small copy's features.
        small, rows = expected[: told.before], expected[told.before :]
        rows = rows.reshape(told.rows, told.columns + 1, encoder.width)
        assert torch.equal(rows[:, -1], newline.expand(told.rows, -1))
        own = torch.cat([small, rows[:, :-1].flatten(0, 1)])
        assert torch.equal(features.values[0], own), size


def test_sizes_in_one_batch_equal_single_ones(folder: Path) -> None:
    encoder = build_encoder("tiles", str(folder))
    sizes = some_sizes(12)
    batch = encode(encoder, sizes)
    for number, size in enumerate(sizes):
        picture = image(*size, seed=number)
        single = encoder(stack_inputs([encoder.preprocessor(picture)]))
        length = single.values.shape[1]
        assert int(batch.mask[number].sum()) == length
        torch.testing.assert_close(batch.values[number, :length], single.values[0])


def published(**changes: Any) -> TileLayout:
    view = PatchLayout(patch_size=(14, 14), pool=None)
    options: dict[str, Any] = {"side": 336, "unpad": "round", **changes}
    return TileLayout(view=view, grid=tuple(map(tuple, PUBLISHED)), **options)


def blank(height: int, width: int) -> dict[str, torch.Tensor]:
    pixels = torch.empty(1, 3, 336, 336, device="meta")
    return {"pixel_values": pixels, "image_sizes": torch.tensor([[height, width]])}


@pytest.mark.parametrize(
    ("size", "soft_tokens"),
    [
        ((480, 640), 2340),
        ((1000, 500), 1776),
        ((300, 900), 2328),
        ((672, 672), 2928),
        ((336, 336), 1176),
    ],
)
def test_published_counts(size: tuple[int, int], soft_tokens: int) -> None:
    """Of methods.md, A6: all features, and a newline behind each row."""
    told = published()(blank(*size))
    assert told.count + told.rows == soft_tokens


@pytest.mark.parametrize(("shorter", "longer"), [(396, 704), (423, 752)])
def test_the_two_roundings_differ_where_a_float_falls_short(shorter: int, longer: int) -> None:
    # The shorter side takes 48 * 9 / 16 = 27 of 48 features; the floats say 26.999999999999996.
    # Padding is 10 on each side, as half of 21 is cut; it is 11 where 26 are believed in.
    for unpad, own in (("round", 28), ("floor", 26)):
        layout = published(unpad=unpad)
        assert layout(blank(shorter, longer)) == Layout(before=576, rows=own, columns=48)
        assert layout(blank(longer, shorter)) == Layout(before=576, rows=48, columns=own)


def test_class_token_of_the_small_copy_alone_is_kept(folder: Path) -> None:
    with_class = encode(build_encoder("tiles", str(folder), drop_cls=False), [(90, 80)])
    without = encode(build_encoder("tiles", str(folder)), [(90, 80)])
    assert torch.equal(with_class.values[:, 1:], without.values)


def test_floor_reads_the_middle_of_what_round_reads(folder: Path) -> None:
    wide = [(396, 704)]
    rounded = encode(build_encoder("tiles", str(folder)), wide).values[0]
    floored = encode(build_encoder("tiles", str(folder), unpad="floor"), wide).values[0]
    assert torch.equal(floored[576:], rounded[576 + 48 : -48])


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_plain_checkpoint_is_cut_as_the_grid_says(checkpoint: Find, name: str) -> None:
    encoder = build_encoder("tiles", checkpoint(name), grid=[[32, 96], [64, 64]])
    tensors = encoder.preprocessor(image(20, 60))
    assert tensors["pixel_values"].shape == (4, 3, 32, 32)
    # Each view is prepared as the checkpoint's own processor prepares pictures: nothing is left to
    # do to a picture of a view's size but what the tower's colours need.
    plain = build_encoder("vision", checkpoint(name))
    whole = image(32, 96)
    cut = [plain.preprocessor(replace(whole, pixels=whole.pixels[:, i : i + 32])) for i in (0, 64)]
    views = encoder.preprocessor(whole)["pixel_values"]
    assert torch.equal(views[[1, 3]], torch.cat([each["pixel_values"] for each in cut]))


def test_tiles_of_another_size(checkpoint: Find) -> None:
    encoder = build_encoder("tiles", checkpoint("clip"), grid=[[48, 96]], size=48)
    assert encode(encoder, [(30, 60)]).values.shape[1] == 6 * 6 * 3


def test_a_vision_encoder_reads_a_checkpoint_that_cuts_tiles(checkpoint: Find) -> None:
    vision = build_encoder("vision", checkpoint("clip_tiles"))
    tiles = build_encoder("tiles", checkpoint("clip_tiles"))
    square = image(32, 32)
    views = tiles.preprocessor(square)["pixel_values"]
    assert torch.equal(vision.preprocessor(square)["pixel_values"], views[:1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip", {}, r"does not say to which sizes .* give grid: \[\[height, width\], ...\]"),
        ("clip", {"grid": [[32, 60]]}, r"each a multiple of 32, .* this one is \[\[32, 60\]\]"),
        ("clip", {"grid": [64, 64]}, "grid is a list of"),
        ("clip", {"grid": [[64]]}, "grid is a list of"),
        ("clip", {"grid": [[0, 64]]}, "grid is a list of"),
        ("clip", {"grid": [["a", 64]]}, "grid is a list of"),
        ("clip", {"grid": "32x64"}, "grid is a list of"),
        ("clip", {"grid": [[32, 32 * 65]]}, "of at most 64 tiles; the largest has 65"),
        ("clip_tiles", {"unpad": "ceil"}, "unknown unpad 'ceil'; known: round, floor"),
        ("clip_tiles", {"layer": 4}, "layer 4 does not exist"),
        ("resnet", {"grid": [[32, 64]]}, "no grid of patches from which tiles could be joined"),
        ("siglip2", {"grid": [[32, 64]]}, "keeps the shape of pictures, and tiles are squares"),
    ],
)
def test_option_that_does_not_fit_is_refused(
    checkpoint: Find, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("tiles", checkpoint(name), **options)
    with pytest.raises(EncoderError, match=message):
        outline("tiles", None, checkpoint(name), **options)


def test_grid_of_a_strangers_file_is_checked(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("clip_tiles"), tmp_path / "copy"))
    file = path / "preprocessor_config.json"
    options = json.loads(file.read_text()) | {"image_grid_pinpoints": [[32 * 10**6, 32 * 10**6]]}
    file.write_text(json.dumps(options))
    with pytest.raises(EncoderError, match="of at most 64 tiles; the largest has 1000000000000"):
        build_encoder("tiles", str(path))


def test_grid_and_rounding_are_in_the_fingerprint(folder: Path) -> None:
    options: list[dict[str, Any]] = [{}, {"unpad": "floor"}, {"grid": GRID[:2]}]
    prints = {build_encoder("tiles", str(folder), **each).fingerprint for each in options}
    assert len(prints) == 3
    same = build_encoder("tiles", str(folder), grid=GRID)
    assert same.fingerprint in prints


def test_outline_of_a_published_tower_is_the_longest_picture() -> None:
    config = CLIPVisionConfig(**PARTS, image_size=336, patch_size=14)
    told = outline("tiles", config, "some/clip", grid=PUBLISHED)
    assert told.layout == Layout(before=576, rows=48, columns=48)
    assert told.num_windows == 5
    assert told.num_features == 576 * 5
    with pytest.raises(EncoderError, match="grid is a list of"):
        outline("tiles", config, "some/clip")
