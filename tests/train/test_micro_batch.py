"""What `micro_batch` becomes, and runs that are refused before anything is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from anymal.errors import RecipeError
from anymal.recipe import Recipe, load_recipe
from train.micro_batch import refuse_what_cannot_fit, resolve
from train.run import run

WriteRecipe = Callable[[Path], Path]


@pytest.fixture(name="read")
def _read(write_recipe: WriteRecipe, tmp_path: Path) -> Callable[..., Recipe]:
    return lambda *overrides: load_recipe(write_recipe(tmp_path / "run"), overrides)


@pytest.mark.parametrize(
    ("written", "samples"), [("null", 2), ("1", 1), ("64", 2)], ids=["null", "less", "more"]
)
def test_a_number_is_cut_to_the_batch(
    written: str, samples: int, read: Callable[..., Recipe]
) -> None:
    recipe = read(f"stages.align.micro_batch={written}")
    assert resolve(recipe, recipe.stages[0]) == samples


def test_auto_takes_what_fits(read: Callable[..., Recipe]) -> None:
    auto = ("stages.align.micro_batch=auto", "stages.align.batch_size=64")
    roomy, tight = (read(*auto, f"memory={memory}") for memory in ("1GiB", "2MB"))
    assert resolve(roomy, roomy.stages[0]) == 64
    assert 1 <= resolve(tight, tight.stages[0]) < 64


def test_auto_refuses_where_not_one_sample_fits(read: Callable[..., Recipe]) -> None:
    recipe = read("stages.align.micro_batch=auto", "memory=10KB")
    with pytest.raises(RecipeError, match=r"'align' does not fit.*of 0\.0 GB"):
        resolve(recipe, recipe.stages[0])


def test_a_run_that_cannot_fit_is_refused_before_it_begins(read: Callable[..., Recipe]) -> None:
    recipe = read("memory=500KB", "model.llm.path=meta-llama/Llama-2-70b-hf")
    with pytest.raises(RecipeError, match="does not fit"):
        run(recipe, resume=False, console=Console(quiet=True))
    assert not Path(recipe.run_dir).exists()


def test_a_cpu_of_unstated_memory_is_let_be(read: Callable[..., Recipe]) -> None:
    refuse_what_cannot_fit(read("model.llm.path=no/such-model"))
