from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from anymal.errors import RecipeError
from anymal.recipe.schema import load_recipe
from train.errors import TrainingError
from train.run_folder import RunFolder, check_same_recipe, check_stage_names


def test_a_taken_folder_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(resume=False)
    folder.claim(resume=False)  # still empty
    folder.metrics.write_text("")
    with pytest.raises(TrainingError) as caught:
        folder.claim(resume=False)
    assert "--resume" in str(caught.value)
    assert "run_dir=" in str(caught.value)
    folder.claim(resume=True)


def test_the_resolved_recipe_says_the_same_again(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "run"), [])
    folder = RunFolder(tmp_path / "elsewhere")
    folder.claim(resume=False)
    folder.write_recipe(recipe)
    assert yaml.safe_load(folder.recipe.read_text()) == recipe.model_dump(mode="json")
    assert load_recipe(folder.recipe, []) == recipe


def test_only_a_recipe_that_trains_the_same_may_resume(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    path = write_recipe(tmp_path / "run")
    started = load_recipe(path, []).model_dump(mode="json")
    free = ["run_dir=moved", "stages.0.save_every=50", "decode_workers=2"]
    check_same_recipe(load_recipe(path, free), started)
    with pytest.raises(TrainingError, match=r"stages\.1\.lr is 0\.5, was 0\.005"):
        check_same_recipe(load_recipe(path, ["stages.1.lr=0.5"]), started)
    with pytest.raises(TrainingError, match=r"model\.lora\.r is 4, was 2"):
        check_same_recipe(load_recipe(path, ["model.lora.r=4"]), started)
    here = [f"stages.0.data=[{{source: 'sensors:walks', args: {{device: {at}}}}}]" for at in "ab"]
    started = load_recipe(path, here[:1]).model_dump(mode="json")
    with pytest.raises(TrainingError, match=r"data\.0\.args\.device is 'b', was 'a'"):
        check_same_recipe(load_recipe(path, here[1:]), started)


def test_what_decides_the_kept_weights_may_not_change(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    path = write_recipe(tmp_path / "run")
    judged = [f"stages.{number}.{key}" for number, key in ((0, "keep=best"), (1, "patience=3"))]
    started = load_recipe(path, judged).model_dump(mode="json")
    check_same_recipe(load_recipe(path, [*judged, "report=[wandb]"]), started)
    for number in (0, 1):
        other = load_recipe(path, [*judged, f"stages.{number}.eval_samples=3"])
        with pytest.raises(TrainingError, match=rf"stages\.{number}\.eval_samples is 3, was 6"):
            check_same_recipe(other, started)


def test_a_run_of_an_older_version_may_resume(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "run"))
    started = recipe.model_dump(mode="json")
    for section, keys in (
        (started, ("report", "max_bad")),
        (started["stages"][0], ("keep", "patience", "best_by", "ask_every", "epochs")),
        (started["model"]["lora"], ("use_dora", "use_rslora")),
    ):
        for key in keys:
            del section[key]
    check_same_recipe(recipe, started)
    with pytest.raises(TrainingError, match="finish it with that version"):
        check_same_recipe(recipe, started | {"what_was": 1})


@pytest.mark.parametrize("name", ["bundle", "checkpoints", "a/b", "..", ".hidden"])
def test_a_stage_must_be_able_to_name_a_folder(
    tmp_path: Path, write_recipe: Callable[[Path], Path], name: str
) -> None:
    path = write_recipe(tmp_path / "run")
    check_stage_names(load_recipe(path, ["stages.align.name=stage one"]))
    with pytest.raises(RecipeError, match="cannot name a folder"):
        check_stage_names(load_recipe(path, [f"stages.align.name={name}"]))
