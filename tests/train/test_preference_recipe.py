"""What a recipe may say of preference, and what it is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.errors import RecipeError

MDPO = "{kind: preference, preset: mdpo}"


@pytest.mark.parametrize(
    ("objective", "override", "message"),
    [
        ("{kind: preference}", "seed=1", r"objective\.preference\.terms"),
        ("{kind: preference, preset: dop}", "seed=1", "unknown preset 'dop'; known: dpo, halva"),
        ("{kind: preference, preset: dpo, terms: [{chosen: 1}]}", "seed=1", "exactly one"),
        ("{kind: preference, terms: [{best: 1}]}", "seed=1", "unknown answer 'best'"),
        ("{kind: preference, terms: [{rejected: -1}], sft: 1}", "seed=1", "branch chosen"),
        (
            "{kind: preference, terms: [{chosen: 1}], tokens: {changed: 5}}",
            "seed=1",
            "and rejected",
        ),
        ("{kind: preference, preset: dpo, k: 1}", "seed=1", "unknown key 'k'; known: kind"),
        ("{kind: preference, preset: halva}", "seed=1", r"kl\.data"),
        (
            "{kind: preference, preset: halva, kl: null, reference: start}",
            "seed=1",
            "set reference: none",
        ),
        (
            "{kind: preference, preset: halva, kl: null, tokens: {changed: 2}}",
            "seed=1",
            "set tokens: null",
        ),
        (
            "{kind: preference, unit: phrase, reference: none, terms: [{chosen: 1, greedy: -1}]}",
            "seed=1",
            "greedy has no phrases",
        ),
        (
            "{kind: preference, terms: [{rejected: -1, greedy@noise: -1}]}",
            "seed=1",
            "a term needs the branch chosen",
        ),
        (
            "{kind: preference, preset: povid, tokens: {changed: 5}}",
            "seed=1",
            "which greedy@noise is not",
        ),
        ("{kind: preference, terms: [{chosen@fog: 1}]}", "seed=1", "unknown corruption 'fog'"),
        ("{kind: preference, terms: [{chosen@noise:1000: 1}]}", "seed=1", "is 0 to 999"),
        (MDPO, "stages.instruct.modality_dropout=0.5", "set modality_dropout: 0"),
        (MDPO, "features=features", "chosen@crop, whose media are not those"),
        ("sing", "seed=1", "'answer' or 'words'"),
    ],
)
def test_a_recipe_says_what_is_wrong(
    recipe_of: Callable[..., Any], tmp_path: Path, objective: str, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, override, objective=objective)


def test_a_preset_is_nothing_but_its_keys(recipe_of: Callable[..., Any], tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, objective="{kind: preference, preset: stic, beta: 0.2}")
    written = recipe.model_dump(mode="json")["stages"][0]["objective"]
    terms = [{"chosen": 1.0, "rejected": -1.0}]
    assert written == {
        "kind": "preference",
        "terms": terms,
        "beta": 0.2,
        "tokens": None,
        "sft": 1 / 1024,
        "unit": "answer",
        "kl": None,
        "reference": "start",
    }
    assert type(recipe).model_validate(recipe.model_dump(mode="json"))


def test_a_base_needs_a_lora(recipe_of: Callable[..., Any], tmp_path: Path) -> None:
    objective = "{kind: preference, preset: dpo, reference: base}"
    without = ("model.lora=null", "stages.instruct.kind=align")
    with pytest.raises(RecipeError, match="leaves LoRA out, and the model has none"):
        recipe_of(tmp_path, *without, objective=objective)


def test_absent_media_need_no_features(recipe_of: Callable[..., Any], tmp_path: Path) -> None:
    terms = "[{chosen: 1, chosen@absent: -1}]"
    recipe_of(tmp_path, "features=features", objective=f"{{kind: preference, terms: {terms}}}")
