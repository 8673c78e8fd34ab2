"""Pictures as patches of pixels, held to Fuyu's own processor."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anymal.published.base import Published
from anymal.published.fuyu import fuyu_inputs
from anymal.published.probe import Probe
from encoders.base import EncoderError, Layout, stack_inputs
from encoders.outline import outline
from encoders.registry import build_encoder
from tests.encoders.conftest import image
from tests.systems.fuyu_checkpoints import fuyu_processor

Find = Callable[[str], str]


@pytest.fixture(scope="module", name="processor")
def _processor() -> Any:
    return fuyu_processor()


def fuyu(processor: Any, picture: Any) -> tuple[torch.Tensor, list[int]]:
    """What Fuyu reads of a picture: its patches, and the ids that stand for it."""
    probe = Probe(modality="image", media=[picture.pixels], questions=[""])
    read = fuyu_inputs(Published(model=None, processor=processor), probe)
    ids = read["input_ids"].flatten().tolist()
    media = {processor.image_token_id, processor.image_newline_id}
    return read["pixel_values"], [each for each in ids if each in media]


# Height and width: of methods.md, A9; smaller than a patch; whole patches; as large as any may be;
# too high, too wide, both.
SIZES = [(61, 91), (7, 5), (30, 60), (1080, 1920), (2000, 300), (90, 2500), (1500, 2111)]


@pytest.mark.parametrize("size", SIZES)
def test_patches_equal_fuyus(processor: Any, size: tuple[int, int]) -> None:
    encoder = build_encoder("pixels", None)
    picture = image(*size)
    patches, ids = fuyu(processor, picture)
    tensors = encoder.preprocessor(picture)
    features = encoder(stack_inputs([tensors]))
    assert encoder.width == 2700
    assert torch.equal(features.values[0], patches)
    told = encoder.layout(tensors)  # type: ignore[misc]  # it tells
    newline = processor.image_newline_id
    assert [each == newline for each in ids] == ([False] * told.columns + [True]) * told.rows


def test_the_picture_of_methods_md(processor: Any) -> None:
    _, ids = fuyu(processor, image(61, 91))
    encoder: Any = build_encoder("pixels", None)
    assert encoder.layout(encoder.preprocessor(image(61, 91))) == Layout(rows=3, columns=4)
    assert len(ids) == 15


def test_sizes_in_one_batch_equal_single_ones(checkpoint: Find) -> None:
    encoder: Any = build_encoder("pixels", checkpoint("fuyu"))
    items = [encoder.preprocessor(image(*size)) for size in ((9, 50), (48, 64), (3, 3))]
    batch = encoder(stack_inputs(items))
    assert batch.mask.sum(dim=1).tolist() == [2 * 7, 6 * 8, 1]
    for number, item in enumerate(items):
        single = encoder(stack_inputs([item])).values[0]
        assert torch.equal(batch.values[number, : len(single)], single)


def test_there_are_no_weights_and_floats_stay_what_they_are(checkpoint: Find) -> None:
    encoder: Any = build_encoder("pixels", checkpoint("fuyu"))
    tensors = encoder.preprocessor(image())
    inputs = stack_inputs([tensors])
    assert encoder.state_dict() == {}
    moved = encoder.to(torch.bfloat16)
    assert torch.equal(moved(inputs).values[0], tensors["patches"])


def test_the_fingerprint_is_that_of_the_preprocessing(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("fuyu"), tmp_path / "copy"))
    file = path / "preprocessor_config.json"
    before = build_encoder("pixels", str(path)).fingerprint
    assert before == build_encoder("pixels", None, patch=8, size=[48, 64]).fingerprint
    file.write_text(json.dumps(json.loads(file.read_text()) | {"image_mean": 0.25}))
    prints = {before, build_encoder("pixels", str(path)).fingerprint}
    prints.add(build_encoder("pixels", None, patch=16, size=[48, 64]).fingerprint)
    prints.add(build_encoder("pixels", None, patch=8, size=[48, 72]).fingerprint)
    assert len(prints) == 4


def test_a_file_of_a_whole_processor_is_read(processor: Any, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    found = build_encoder("pixels", str(tmp_path))
    assert found.fingerprint == build_encoder("pixels", None).fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 0}, "a patch must be a square of at least one pixel"),
        ({"patch": 7}, "the largest picture must be whole patches high and wide"),
        ({"patch": "8"}, "patch is .* give whole numbers"),
        ({"size": 64}, r"size is 64; give whole numbers, a size as \[height, width\]"),
        ({"size": [64]}, r"size is \[64\]"),
        ({"size": [64, 0]}, "whole patches high and wide"),
        ({"size": [-64, 64]}, "whole patches high and wide"),
        ({"patch": 1}, "the largest picture has 2073600 patches; 4096 are allowed"),
    ],
)
def test_option_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        build_encoder("pixels", None, **options)
    with pytest.raises(EncoderError, match=message):
        outline("pixels", None, None, **options)


def test_a_folder_with_another_processor_is_refused(checkpoint: Find) -> None:
    with pytest.raises(EncoderError, match="with CLIPImageProcessorPil; pixels takes a folder"):
        build_encoder("pixels", checkpoint("clip"))


def test_no_path_is_for_kinds_without_weights() -> None:
    with pytest.raises(EncoderError, match="encoder 'vision' needs a path"):
        build_encoder("vision", None)
    with pytest.raises(EncoderError, match="encoder 'vision' needs a path"):
        outline("vision", None, None)


def test_outline_is_the_largest_picture() -> None:
    told = outline("pixels", None, None)
    assert (told.num_parameters, told.width, told.num_features) == (0, 2700, 36 * 64)
    assert told.layout == Layout(rows=36, columns=64)


def test_features_of_a_picture_are_a_projection_away_from_fuyus(processor: Any) -> None:
    # The patch at row 1 and column 2 holds the picture's own pixels, in [-1, 1].
    picture = image(61, 91)
    encoder: Any = build_encoder("pixels", None)
    patch = encoder(stack_inputs([encoder.preprocessor(picture)])).values[0, 1 * 4 + 2]
    own = picture.pixels[30:60, 60:90].astype(np.float32) / 255 * 2 - 1
    torch.testing.assert_close(patch, torch.from_numpy(own.flatten()))
