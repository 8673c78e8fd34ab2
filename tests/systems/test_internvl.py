"""InternVL: tiles and the whole picture, squares of patches in one, as its class computes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import InternVLProcessor

from anymal.bundle.load import describe
from anymal.errors import BundleError
from anymal.plan.encoder import measure_encoder
from anymal.published.internvl import INTERNVL
from anymal.published.probe import two_turns
from anymal.published.rendering import rendered
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import check_served, imported
from tests.systems.seeing_checkpoints import save_internvl


@pytest.fixture(scope="module", name="internvl")
def _internvl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its bundle."""
    place = tmp_path_factory.mktemp("internvl")
    folder = save_internvl(place / "internvl")
    imported(folder, place / "bundle")
    return folder, place / "bundle"


def test_it_is_served_as_its_class_generates_tiles_and_all(internvl: tuple[Path, Path]) -> None:
    check_served(*internvl)
    tiles = 5 + 5  # of 90 x 120 and of 64 x 48 pixels, the whole pictures included
    facts = describe(internvl[1]).parity
    assert facts is not None
    assert facts.positions > 4 * tiles


def test_it_is_asked_as_its_own_processor_asks(
    internvl: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = INTERNVL.load(internvl[0])
    parts, probe = published.processor, two_turns("image")
    # It demands a part for films, which is not to be had without torchvision.
    monkeypatch.setattr(InternVLProcessor, "check_argument_for_proper_class", lambda *_: None)
    own = InternVLProcessor(parts.image_processor, parts.tokenizer, None, image_seq_length=4)
    text = rendered(parts, probe, generate=True)
    theirs = own(text=[text], return_tensors="pt", **probe.arguments())
    ours = INTERNVL.inputs(published, probe)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_its_plan_counts_the_most_tiles(internvl: tuple[Path, Path]) -> None:
    recipe = describe(internvl[1]).recipe.modalities["image"].encoder
    assert measure_encoder("image", recipe).num_features == (4 + 1) * 16


def test_a_hidden_layer_of_its_tower(tmp_path: Path) -> None:
    imported(save_internvl(tmp_path / "inner", vision_feature_layer=-2), tmp_path / "bundle")


def test_a_class_token_in_its_squares_is_refused(tmp_path: Path) -> None:
    folder = save_internvl(tmp_path / "full", vision_feature_select_strategy="full")
    with pytest.raises(BundleError, match="select_strategy is 'full'; squares are made of"):
        imported(folder, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("max_patches", 10**6, "up to 1000000 tiles; set max_patches to at most 64"),
        ("size", {"height": 64, "width": 64}, "the model takes squares of 32 pixels"),
    ],
)
def test_tiles_beyond_measure_are_refused(
    internvl: tuple[Path, Path], tmp_path: Path, key: str, value: Any, why: str
) -> None:
    folder = Path(shutil.copytree(internvl[0], tmp_path / "internvl"))
    edit(folder / "processor_config.json", "image_processor", key, to=value)
    with pytest.raises(BundleError, match=why):
        imported(folder, tmp_path / "bundle")
