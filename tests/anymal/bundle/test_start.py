"""Starting from a bundle: what is shared is taken over, and what differs is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.assemble import Assembled, build
from anymal.bundle.save import save_bundle
from anymal.bundle.start import take_over
from anymal.errors import BundleError, RecipeError
from tests.anymal.asking import next_logits

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

Talk = Callable[..., dict[str, Any]]
MakeRecipe = Callable[..., "ModelRecipe"]


@pytest.fixture(name="before")
def _before(model_recipe: MakeRecipe, tmp_path: Path) -> Assembled:
    """A model whose LoRA does something, saved as `before`."""
    torch.manual_seed(3)
    assembled = build(model_recipe(lora={"r": 2}))
    assembled.model.set_trainable(["llm.lora"])
    for parameter in assembled.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    save_bundle(assembled, tmp_path / "before")
    return assembled


def started(recipe: "ModelRecipe", folder: Path) -> Assembled:
    assembled = build(recipe)
    take_over(folder, assembled, where="start_from")
    return assembled


def test_what_is_shared_is_taken_over(
    model_recipe: MakeRecipe, before: Assembled, tmp_path: Path, talk: Talk
) -> None:
    record = talk("What?", images=[(255, 0, 0)], motions=1)
    sample = before.processor(record, generate=True)
    fresh = build(model_recipe(lora={"r": 2}))
    assert not torch.equal(next_logits(fresh, sample), next_logits(before, sample))
    taken = started(model_recipe(lora={"r": 2}), tmp_path / "before")
    assert torch.equal(next_logits(taken, sample), next_logits(before, sample))


@pytest.mark.parametrize(("lora", "is_taken"), [(None, True), ({"r": 2}, False)])
def test_aligners_alone_may_go_on_in_another_format(
    model_recipe: MakeRecipe, tmp_path: Path, lora: dict[str, int] | None, is_taken: bool
) -> None:
    values = model_recipe(lora=lora).model_dump()
    save_bundle(build(model_recipe(lora=lora)), tmp_path / "before")
    values["llm"]["template"] = "vicuna"
    recipe = model_recipe().model_validate(values)
    if is_taken:
        assert started(recipe, tmp_path / "before").processor.template.name == "vicuna"
    else:
        with pytest.raises(BundleError, match=r"llm\.template differs"):
            started(recipe, tmp_path / "before")


@pytest.mark.usefixtures("before")
def test_another_aligner_is_refused(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    values = model_recipe(lora={"r": 2}).model_dump()
    values["modalities"]["imu"]["aligner"]["num_tokens"] = 50
    with pytest.raises(BundleError, match=r"start_from: modalities\.imu\.aligner differs"):
        started(model_recipe().model_validate(values), tmp_path / "before")


@pytest.mark.usefixtures("before")
def test_lora_is_not_dropped(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"start_from: model\.lora differs"):
        started(model_recipe(), tmp_path / "before")


def test_nothing_shared_is_a_mistake(model_recipe: MakeRecipe, tmp_path: Path) -> None:
    values = model_recipe().model_dump()
    image, imu = (
        model_recipe().model_validate(values | {"modalities": {name: values["modalities"][name]}})
        for name in ("image", "imu")
    )
    save_bundle(build(image), tmp_path / "image")
    with pytest.raises(RecipeError, match=r"none of which is in model\.modalities"):
        started(imu, tmp_path / "image")
