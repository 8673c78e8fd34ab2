"""Recipes that name parts of the bundle they start from."""

from pathlib import Path
from typing import Any

import pytest

from anymal.bundle.extend import extended
from anymal.bundle.load import describe
from anymal.bundle.manifest import read_manifest
from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe

AUDIO = {"encoder": {"kind": "whisper", "path": "some/whisper"}}
STAGE = {
    **{"name": "align", "kind": "align", "modalities": ["audio"], "steps": 1, "batch_size": 1},
    **{"lr": 1e-3, "data": [{"manifest": "rows.jsonl"}]},
}


def recipe(start: Path | None, **model: Any) -> Recipe:
    given = {"llm": {"path": "bundle:llm"}, "modalities": {"audio": AUDIO}} | model
    given["start_from"] = None if start is None else str(start)
    return Recipe.model_validate({"run_dir": "runs/x", "model": given, "stages": [STAGE]})


def test_a_recipe_that_names_no_part_is_left_alone(bundle: Path) -> None:
    own = recipe(bundle, llm={"path": "some/llm"})
    assert extended(own) is own


def test_the_model_of_the_bundle_comes_with_its_language_model(bundle: Path) -> None:
    before = read_manifest(bundle).recipe
    model = extended(recipe(bundle)).model
    assert model.llm == before.llm
    assert model.lora == before.lora
    assert list(model.modalities) == ["image", "imu", "audio"]
    assert model.modalities["image"] == before.modalities["image"]
    assert Path(model.llm.path) == bundle / "llm"


def test_what_the_recipe_says_comes_on_top(bundle: Path) -> None:
    changed = {"path": "bundle:llm", "precision": "nf4", "max_tokens": 99}
    model = extended(recipe(bundle, llm=changed, media_first=True)).model
    before = describe(bundle).recipe
    assert (model.llm.precision, model.llm.max_tokens, model.media_first) == ("nf4", 99, True)
    assert model.llm.template == before.llm.template != "tokenizer"
    assert model.llm.embed == before.llm.embed


def test_an_encoder_of_the_bundle_is_found_by_its_modality(bundle: Path) -> None:
    films = {"encoder": {"kind": "frames", "path": "bundle:encoders/image", "num_frames": 2}}
    model = extended(recipe(bundle, modalities={"audio": AUDIO, "video": films})).model
    found = model.modalities["video"].encoder
    assert Path(found.path) == bundle / "encoders" / "image"
    assert found.options == {"num_frames": 2}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"llm": {"path": "bundle:model"}}, "the only such name is bundle:llm"),
        (
            {"modalities": {"audio": {"encoder": {"kind": "whisper", "path": "bundle:audio"}}}},
            "model.start_from has bundle:encoders/image, bundle:encoders/imu",
        ),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    bundle: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        extended(recipe(bundle, **model))


def test_a_part_of_no_bundle_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'bundle:llm' is a part of model\.start_from"):
        extended(recipe(None))
