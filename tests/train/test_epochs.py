import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe, load_recipe
from train.data.sources import Source, StageData
from train.epochs import in_numbers


class Rows(Sequence[Any]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return {}


def data(*sizes: int) -> StageData:
    sources = [
        Source(
            **{"name": f"s{n}", "origin": "o", "licence": "none", "weight": 1.0, "base_dir": None},
            records=Rows(size),
        )
        for n, size in enumerate(sizes)
    ]
    return StageData(training=sources, heldout=[])


def counted(recipe: Recipe, *sizes: int) -> Recipe:
    first, second = recipe.stages
    entries = [first.data[0]] * len(sizes)
    stages = [
        first.model_copy(update={"data": entries, "heldout": None}),
        second.model_copy(update={"data": second.data[:1], "heldout": None}),
    ]
    return in_numbers(recipe.model_copy(update={"stages": stages}), [data(*sizes), data(5)])


@pytest.fixture
def of_epochs(write_recipe: Callable[[Path], Path], tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe whose first stage takes 2 x 2 samples a step."""

    def read(epochs: float, *overrides: str) -> Recipe:
        own = ["stages.align.steps=null", f"stages.align.epochs={epochs}"]
        return load_recipe(write_recipe(tmp_path / "run"), [*own, *overrides])

    return read


@pytest.mark.parametrize(
    ("epochs", "sizes", "steps"),
    [(1, (12,), 3), (3, (12,), 9), (1, (7, 6), 4), (0.1, (120,), 3), (0.7, (40,), 7), (2, (1,), 1)],
)
def test_an_epoch_is_as_many_samples_as_the_mixture_has_rows(
    of_epochs: Callable[..., Recipe], epochs: float, sizes: tuple[int, ...], steps: int
) -> None:
    align, instruct = counted(of_epochs(epochs, "stages.align.warmup_steps=0"), *sizes).stages
    assert (align.num_steps, align.epochs) == (steps, None)
    assert instruct.num_steps == 5  # as it says


def test_a_source_without_an_end_has_no_epochs(of_epochs: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"stages\.align\.epochs: the source s1 has no end"):
        counted(of_epochs(1), 3, sys.maxsize)


def test_a_warm_up_longer_than_the_epochs_is_refused(of_epochs: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"stages\.align: .*warmup_steps is 2 of 1 steps"):
        counted(of_epochs(1), 4)
