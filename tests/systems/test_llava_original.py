"""The original layout of LLaVA: the same as `LlavaForConditionalGeneration` of its weights."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, LlavaForConditionalGeneration

from anymal.bundle.load import load_bundle
from anymal.errors import BundleError
from anymal.published.importing import import_model
from anymal.published.probe import two_turns
from encoders.signals import Image as Picture
from tests.systems.agreement import check_served, imported
from tests.systems.checkpoints import clip_processor
from tests.systems.original import as_class, save_original


@pytest.fixture(scope="module", name="padded")
def _padded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint with a tower of its own that pads pictures, and its bundle."""
    place = tmp_path_factory.mktemp("padded")
    folder = save_original(place / "llava", trains_tower=True, image_aspect_ratio="pad")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"projector": "linear", "pickles": True, "legacy": True}, marks=pytest.mark.slow
        ),
        {"shards": 3, "pickles": True, "dtype": torch.bfloat16},
        pytest.param({"mm_use_im_start_end": True}, marks=pytest.mark.slow),
        pytest.param({"mm_vision_select_feature": "cls_patch"}, marks=pytest.mark.slow),
    ],
)
def test_it_agrees_with_the_class(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save_original(tmp_path / "llava", **options)
    imported(folder, tmp_path / "bundle")


def test_it_is_served_as_its_class_generates(padded: tuple[Path, Path]) -> None:
    check_served(*padded)


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of the class."""
    state: dict[str, torch.Tensor] = LlavaForConditionalGeneration.from_pretrained(
        folder
    ).state_dict()
    return state


def parts_of(bundle: Path) -> dict[str, torch.Tensor]:
    """All weights of a bundle."""
    return {
        f"{file.relative_to(bundle)}: {name}": tensor
        for file in bundle.rglob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 3},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"pickles": True, "legacy": True}, marks=pytest.mark.slow),
        pytest.param({"shards": 3, "pickles": True}, marks=pytest.mark.slow),
    ],
    ids=["shards", "safetensors", "old pickle", "pickles"],
)
def test_both_layouts_make_one_bundle(tmp_path: Path, options: dict[str, Any]) -> None:
    save_original(tmp_path / "plain")
    whole = as_class(tmp_path / "plain", tmp_path / "class")
    (whole / "chat_template.jinja").write_text("")
    folder = save_original(tmp_path / "llava", **options)
    facts = imported(folder, tmp_path / "bundle")
    assert facts.class_name == "LlavaForConditionalGeneration"
    ours, theirs = parts_of(tmp_path / "bundle"), state_of(whole)
    assert len(ours) == len(theirs) + 1  # the aligner's scale
    renamed = {
        "llm/model.safetensors: lm_head.": "lm_head.",
        "llm/model.safetensors: model.": "model.language_model.",
        "encoders/image/model.safetensors: ": "model.vision_tower.",
        "aligners.safetensors: image.project.0.": "model.multi_modal_projector.linear_1.",
        "aligners.safetensors: image.project.2.": "model.multi_modal_projector.linear_2.",
    }
    for name, tensor in ours.items():
        for old, new in renamed.items():
            if name.startswith(old):
                other = theirs[new + name.removeprefix(old)]
                assert torch.equal(tensor, other), name


def test_a_tower_that_was_trained_too_is_taken(padded: tuple[Path, Path]) -> None:
    folder, bundle = padded
    ours = load_file(bundle / "encoders" / "image" / "model.safetensors")
    tower = CLIPModel.from_pretrained(folder.parent / "tower").vision_model.state_dict()
    assert ours.keys() == tower.keys()
    assert all(torch.equal(ours[name], 1.5 * tensor) for name, tensor in tower.items())


def test_a_trained_tower_that_is_not_whole_is_refused(
    padded: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(padded[0], tmp_path / "llava"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"differ in 1 weights, the first is 'pre_layrnorm\.weig"):
        imported(folder, tmp_path / "bundle")


def test_it_is_told_that_the_format_of_conversations_is_assumed(
    padded: tuple[Path, Path], tmp_path: Path
) -> None:
    told: list[str] = []
    import_model(padded[0], tmp_path / "bundle", tell=told.append)
    assert any(line.startswith("note: the layout does not say how") for line in told)


def test_pictures_are_padded_in_the_mean_colour(padded: tuple[Path, Path]) -> None:
    preprocess = load_bundle(padded[1]).processor.modalities["image"].preprocessor
    picture = two_turns("image").media[0]
    height, width, _ = picture.shape
    mean = [int(255 * share) for share in (0.48145466, 0.4578275, 0.40821073)]
    square = np.full((width, width, 3), mean, np.uint8)
    start = (width - height) // 2
    square[start : start + height] = picture
    theirs = clip_processor()(Image.fromarray(square), return_tensors="pt")["pixel_values"]
    assert torch.equal(preprocess(Picture(pixels=picture))["pixel_values"], theirs)
