"""Layers beside the row in bundles: saved, loaded, taken over, and refused where they differ."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from anymal.assemble import Assembled, build, build_processor
from anymal.bundle.join import join_bundles
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.bundle.start import take_over
from anymal.errors import BundleError, ConversationError, RecipeError
from anymal.published.export import export_bundle
from tests.anymal.asking import next_logits
from tests.anymal.bundle.strangers import edit

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
MakeRecipe = Callable[..., "ModelRecipe"]
CROSS = {"kind": "cross", "every": 2, "media_dim": 24, "num_heads": 2, "head_dim": 8}
PREFIX = {"kind": "prefix", "num_tokens": 32, "layers": 1}
SIDES = {"cross": CROSS, "prefix": PREFIX}


def with_side(recipe: "ModelRecipe", side: dict[str, Any] | None) -> "ModelRecipe":
    values = recipe.model_dump() | {"side": side}
    values["modalities"]["imu"]["aligner"]["num_tokens"] = 32
    return recipe.model_validate(values)


@pytest.fixture(scope="module", name="saved")
def _saved(
    model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Assembled]]:
    """A bundle of each kind, its gates open, and what was saved."""
    made = {}
    for kind, side in SIDES.items():
        torch.manual_seed(3)
        assembled = build(with_side(model_recipe(), side))
        assert assembled.model.side is not None
        for parameter in assembled.model.side.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter)
        folder = save_bundle(assembled, tmp_path_factory.mktemp("side") / kind)
        made[kind] = (folder, assembled)
    return made


@pytest.mark.parametrize("kind", SIDES)
def test_a_side_comes_back_and_is_taken_over(
    saved: dict[str, tuple[Path, Assembled]], kind: str, model_recipe: MakeRecipe, talk: Talk
) -> None:
    folder, assembled = saved[kind]
    assert assembled.model.side is not None
    state = assembled.model.side.state_dict()
    assert load_file(folder / "side.safetensors").keys() == state.keys()
    sample = assembled.processor(talk("What?", images=[(255, 0, 0)], motions=1), generate=True)
    assert [slot.length for slot in sample.slots] == [0, 0]
    wanted = next_logits(assembled, sample)
    assert torch.equal(next_logits(load_bundle(folder), sample), wanted)
    other = build(with_side(model_recipe(), SIDES[kind]))
    assert not torch.equal(next_logits(other, sample), wanted)
    take_over(folder, other, where="start_from")
    assert torch.equal(next_logits(other, sample), wanted)


def test_another_side_is_refused(
    saved: dict[str, tuple[Path, Assembled]], model_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder, _ = saved["prefix"]
    for side in (None, PREFIX | {"layers": 2}):
        with pytest.raises(BundleError, match=r"start_from: model.side differs"):
            take_over(folder, build(with_side(model_recipe(), side)), where="start_from")
    with pytest.raises(BundleError, match=r"layers beside the row \(recipe.model.side\)"):
        join_bundles([folder, folder], tmp_path / "joined")
    with pytest.raises(BundleError, match=r"layers beside the row \(model.side\), without which"):
        export_bundle(folder, tmp_path / "exported", to="merged")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ffn_dim": 2**40}, "many more than its weights in side.safetensors"),
        ({"every": 3}, "4 layers|2 layers"),
        ({"kind": "prefix", "layers": 3}, "cannot be read"),
        ({"gate": "vector"}, "side.blocks.1.gate is"),
    ],
)
def test_a_damaged_side_is_refused(
    saved: dict[str, tuple[Path, Assembled]], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    folder = shutil.copytree(saved["cross"][0], tmp_path / "bundle")
    for key, value in change.items():
        edit(folder / "bundle.json", "recipe", "side", key, to=value)
    with pytest.raises((BundleError, RecipeError), match=told):
        load_bundle(folder)


def test_a_side_without_its_weights_is_refused(
    saved: dict[str, tuple[Path, Assembled]], tmp_path: Path
) -> None:
    folder = shutil.copytree(saved["cross"][0], tmp_path / "bundle")
    (folder / "side.safetensors").unlink()
    with pytest.raises(BundleError, match=r"side.safetensors cannot be read"):
        load_bundle(folder)


def test_the_processor_alone_knows_that_media_take_no_positions(
    saved: dict[str, tuple[Path, Assembled]], talk: Talk
) -> None:
    _, assembled = saved["cross"]
    processor = build_processor(assembled.model_recipe)
    sample = processor(talk("What?", images=[(255, 0, 0)]), generate=True)
    assert [slot.length for slot in sample.slots] == [0]
    embeds = {"type": "prompt_embeds", "prompt_embeds": {"data": "AAAA"}}
    with pytest.raises(ConversationError, match="takes no prompt_embeds"):
        processor({"messages": [{"role": "user", "content": [embeds]}]}, generate=True)
