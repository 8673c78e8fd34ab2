"""Data that may not be used commercially is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymal.data.rows import Record
from anymal.errors import RecipeError
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.schema import Recipe
from train.data.commercial import refuse_non_commercial
from train.data.sources import StageData, open_data

ROW = '{"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}'


def opened(tmp_path: Path, *licences: str) -> list[StageData]:
    """A stage that trains on a file under each licence."""
    entries = []
    for number, licence in enumerate(licences):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(f"{ROW}\n")
        entries.append(DataRecipe(manifest=str(path), licence=licence))
    stage: Any = type("Stage", (), {"data": entries, "heldout": None, "objective": "answer"})
    recipe: Any = type("Recipe", (), {"stages": [stage], "model": None})
    given: Recipe = recipe
    return open_data(given)


def test_free_data_pass(tmp_path: Path) -> None:
    refuse_non_commercial(opened(tmp_path, "CC-BY-4.0", "MIT AND CC0-1.0"))


def test_each_source_is_named_with_its_licence(tmp_path: Path) -> None:
    data = opened(tmp_path, "CC-BY-4.0", "CC-BY-NC-4.0", "unknown")
    with pytest.raises(RecipeError) as caught:
        refuse_non_commercial(data)
    message = str(caught.value)
    assert "1.jsonl (1.jsonl): its licence CC-BY-NC-4.0 is non-commercial" in message
    assert "2.jsonl (2.jsonl): its licence is unknown" in message
    assert "0.jsonl" not in message


def test_what_the_first_bundle_learnt_from_counts(tmp_path: Path) -> None:
    before = [{"name": "activities", "licence": "UCI HAPT, no commercial use"}]
    with pytest.raises(RecipeError, match="activities of the bundle in start_from"):
        refuse_non_commercial(opened(tmp_path, "MIT"), before)


def test_a_run_is_refused_before_anything_is_loaded(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    from anymal.cli.console import plain_console
    from anymal.recipe.schema import load_recipe
    from train.run import run

    recipe = load_recipe(write_recipe(tmp_path / "run"))
    with pytest.raises(RecipeError, match=r"train\.jsonl .*: its licence is unknown"):
        run(recipe, resume=False, console=plain_console(quiet=True), is_commercial=True)


def test_a_run_is_refused_before_the_bundle_that_it_starts_from_is_there(
    tmp_path: Path, write_recipe: Callable[[Path], Path]
) -> None:
    from anymal.cli.console import plain_console
    from anymal.recipe.schema import load_recipe
    from train.run import run

    path = write_recipe(tmp_path / "run")
    recipe = load_recipe(path, [f"model.start_from={tmp_path / 'nowhere'}"])
    with pytest.raises(RecipeError, match=r"train\.jsonl .*: its licence is unknown"):
        run(recipe, resume=False, console=plain_console(quiet=True), is_commercial=True)


def records() -> list[Record]:
    """A Python source that says nothing of its licence."""
    return [{"messages": []}]


def test_a_python_source_states_its_own(tmp_path: Path) -> None:
    def sources(*entries: DataRecipe) -> list[StageData]:
        stage: Any = type("Stage", (), {"data": entries, "heldout": None, "objective": "answer"})
        recipe: Any = type("Recipe", (), {"stages": [stage], "model": None})
        return open_data(recipe)

    def playground(name: str) -> DataRecipe:
        arguments = {"split": "train", "size": 1}
        return DataRecipe(source=f"anymal.playground.sources:{name}", args=arguments)

    refuse_non_commercial(sources(playground("scenes"), playground("motions")))
    silent = DataRecipe(source="tests.train.data.test_commercial:records")
    with pytest.raises(RecipeError, match=r"records \(.*:records\): its licence is unknown"):
        refuse_non_commercial(sources(silent))
