"""LLaVA-NeXT (A6 and B7 of the methods): pictures in tiles, and what an imported model says.

Works when: (A6) for 50 random sizes the number of tokens and the packed tensor equal those of
`LlavaNextModel.pack_image_features`, with no difference; (B7) the places of a text equal the packed
features of each picture in a batch of several sizes.
"""

import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn
from transformers import (
    AutoProcessor,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    SiglipVisionConfig,
)

from anymal.bundle.load import describe, load_bundle
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.plan.cost import measure_cost
from anymal.plan.device import Device
from anymal.plan.picture import show_plan
from anymal.plan.run import measure_parts, plan_recipe
from anymal.published.importing import import_model
from anymal.published.probe import Probe
from anymal.recipe.schema import load_recipe
from encoders.base import stack_inputs
from encoders.signals import Image as Picture
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import check_served, imported
from tests.systems.checkpoints import PATCH, SIDE
from tests.systems.tiled_checkpoints import GRID, save_llava_next
from tests.tiny import BLOCKS


@pytest.fixture(scope="module", name="next_")
def _next(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its bundle."""
    place = tmp_path_factory.mktemp("llava_next")
    folder = save_llava_next(place / "llava")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


def pictures(number: int) -> list[np.ndarray[Any, Any]]:
    """Noise of many shapes and sizes."""
    random = np.random.default_rng(0)
    sizes = np.exp(random.uniform(1, 5, (number, 2))).round().astype(int)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


# --- works when (A6) ----------------------------------------------------------------------------


@torch.no_grad()
def test_packed_features_of_50_sizes_are_those_of_the_class(next_: tuple[Path, Path]) -> None:
    folder, bundle = next_
    theirs: Any = LlavaNextForConditionalGeneration.from_pretrained(folder).eval()
    assembled = load_bundle(bundle)
    aligner: Any = assembled.model.aligners["image"]
    # Without the projections, which round, there must be no difference at all.
    theirs.model.multi_modal_projector = nn.Identity()
    aligner.project = nn.Identity()
    theirs.model.image_newline = nn.Parameter(torch.randn(BLOCKS["hidden_size"]))
    aligner.newline = theirs.model.image_newline
    processor = AutoProcessor.from_pretrained(folder)
    count = processor._get_number_of_features
    own = assembled.processor.modalities["image"]
    for picture in pictures(50):
        inputs = processor.image_processor([Image.fromarray(picture)], return_tensors="pt")
        expected = theirs.get_image_features(**inputs).pooler_output[0]
        tensors = own.preprocessor(Picture(pixels=picture))
        assert own.layout is not None
        layout = own.layout(tensors)
        height, width, _ = picture.shape
        assert aligner.count(layout) == len(expected) == count(height, width, SIDE, SIDE) - 1
        given = replace(stack_inputs([tensors]), layouts=(layout,))
        made = assembled.model.align(assembled.model.encode({"image": given}))["image"]
        assert torch.equal(made.flat(), expected), picture.shape


# --- works when (B7) ----------------------------------------------------------------------------


def record(media: Sequence[np.ndarray[Any, Any]]) -> dict[str, Any]:
    questions = [f"What is picture {number}?" for number in range(len(media))]
    return Probe(modality="image", media=media, questions=questions).record()


@torch.no_grad()
def test_places_in_a_text_are_as_many_as_features(next_: tuple[Path, Path]) -> None:
    assembled = load_bundle(next_[1])
    processor, model = assembled.processor, assembled.model
    shown = pictures(6)
    samples = [processor(record(few), generate=True) for few in (shown[:1], shown[1:3], shown[3:])]
    lengths = [slot.length for sample in samples for slot in sample.slots]
    assert len(set(lengths)) > 1
    batch = collate(samples, pad_id=0)
    assert model.align(model.encode(batch.media))["image"].counts() == lengths


# --- every imported model -----------------------------------------------------------------------


def test_it_is_served_as_its_class_generates(next_: tuple[Path, Path]) -> None:
    check_served(*next_)


SIGLIP = SiglipVisionConfig(**BLOCKS, image_size=SIDE, patch_size=PATCH)
FULL = {"vision": SIGLIP, "vision_feature_select_strategy": "full", "vision_feature_layer": -1}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({**FULL}, marks=pytest.mark.slow),
        pytest.param(
            {"text": MistralConfig, "image_grid_pinpoints": GRID[:2]}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"vision_feature_layer": [-2, -1], "multimodal_projector_bias": False},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["SigLIP", "Mistral, two sizes", "two layers"],
)
def test_logits_are_those_of_the_class(tmp_path: Path, options: dict[str, Any]) -> None:
    imported(save_llava_next(tmp_path / "llava", **options), tmp_path / "bundle")


def test_the_bundle_says_how_pictures_are_cut(next_: tuple[Path, Path]) -> None:
    image = describe(next_[1]).recipe.modalities["image"]
    assert image.encoder.kind == "tiles"
    assert image.encoder.options == {
        "grid": GRID,
        "unpad": "round",
        "layer": -2,
        "drop_cls": True,
    }
    assert (image.aligner.num_tokens, image.aligner.options["newline"]) == (None, True)


@pytest.mark.parametrize(
    ("grids", "why"),
    [
        ((GRID, [[SIDE, 10**9 * SIDE]]), "give both the same"),
        (([[SIDE, 10**9 * SIDE]],) * 2, "of at most 64 tiles; the largest has 1000000000"),
        (([[SIDE, SIDE + 1]],) * 2, "each a multiple of 32"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    next_: tuple[Path, Path], tmp_path: Path, grids: tuple[Any, Any], why: str
) -> None:
    folder = Path(shutil.copytree(next_[0], tmp_path / "llava"))
    edit(folder / "config.json", "image_grid_pinpoints", to=grids[0])
    edit(folder / "processor_config.json", "image_processor", "image_grid_pinpoints", to=grids[1])
    with pytest.raises(BundleError, match=why):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
    assert [*tmp_path.iterdir()] == [folder]


# --- what it takes ------------------------------------------------------------------------------

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "llava_next.yaml"


@pytest.mark.parametrize(("max_tokens", "refuses"), [(4096, False), (2048, True)])
def test_a_plan_counts_the_picture_with_the_most_tokens(max_tokens: int, refuses: bool) -> None:
    recipe = load_recipe(
        RECIPE,
        [f"model.llm.max_tokens={max_tokens}", "model.llm.path=meta-llama/Llama-2-7b-hf"],
        keep_unset=True,
    )
    parts = measure_parts(recipe.model)
    plan = plan_recipe(recipe, parts, Device(type="cuda", memory=80 * 2**30))
    assert parts.encoders["image"].num_windows == 5
    assert {stage.soft_tokens for stage in plan.stages} == {2928}
    shown = Console(file=io.StringIO(), width=200)
    show_plan(plan, measure_cost(recipe, parts, plan), shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "up to 2928 soft" in text
    assert ("a sample with the longest media is refused" in text) == refuses
