"""Weights by rule: InstructBLIP's square root of sizes (B4 of the methods)."""

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anymal.errors import RecipeError
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.section import parse_section
from train.data.sampler import Sampler
from train.data.sources import ENDLESS, open_data
from train.epochs import in_numbers

SIZES = (100, 400, 900)
RULE = "{rule: sqrt_size}"


class _Sized:
    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("nobody reads it")


@pytest.fixture(name="recipe_of")
def _recipe_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes a recipe whose sources have some sizes and weights."""
    module = ModuleType("sized")
    module.records = _Sized  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sized", module)

    def make(*entries: tuple[int, str]) -> Recipe:
        data = "".join(
            f"      - {{source: 'sized:records', args: {{size: {size}}}, weight: {weight}}}\n"
            for size, weight in entries
        )
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"run_dir: {tmp_path}/run\n"
            "model:\n  llm: {path: 'tiny:llm', precision: fp32}\n"
            "  modalities: {image: {encoder: {kind: vision, path: 'tiny:encoders/image'}}}\n"
            "stages:\n  - name: align\n    kind: align\n    steps: 1\n    batch_size: 1\n"
            f"    lr: 0.1\n    data:\n{data}",
            encoding="utf-8",
        )
        return load_recipe(path)

    return make


def weights_of(recipe: Recipe) -> list[Any]:
    return [entry.weight for entry in recipe.stages[0].data]


def test_shares_are_roots_of_sizes(recipe_of: Any) -> None:
    recipe = recipe_of(*((size, RULE) for size in SIZES))
    resolved = in_numbers(recipe, open_data(recipe))
    weights = weights_of(resolved)
    assert weights == [10, 20, 30]  # numbers, in the recipe.yaml of the run
    shares = [weight / sum(weights) for weight in weights]
    assert shares == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=1e-12)


def test_draws_follow_the_shares() -> None:
    sampler = Sampler(seed=0, stage=0, sizes=SIZES, weights=(10, 20, 30))
    counts = Counter(sampler.draw(position).source for position in range(60_000))
    for source, share in enumerate((1 / 6, 1 / 3, 1 / 2)):
        three_sigma = 3 * (60_000 * share * (1 - share)) ** 0.5
        assert abs(counts[source] - 60_000 * share) < three_sigma


def test_a_weight_may_be_corrected_by_hand_or_be_a_number(recipe_of: Any) -> None:
    recipe = recipe_of((100, "{rule: sqrt_size, times: 0.5}"), (400, RULE), (900, "3"))
    assert weights_of(in_numbers(recipe, open_data(recipe))) == [5, 20, 3]
    [data] = open_data(recipe)
    assert [source.weight for source in data.training] == [5, 20, 3]


def test_a_source_without_an_end_has_no_size(recipe_of: Any) -> None:
    with pytest.raises(RecipeError, match=r"has no end, .* give its weight as a number"):
        open_data(recipe_of((ENDLESS, RULE)))


@pytest.mark.parametrize("weight", [0, -1, {"rule": "size"}, {"rule": "sqrt_size", "times": 0}])
def test_other_weights_are_refused(weight: Any) -> None:
    with pytest.raises(RecipeError, match="weight"):
        parse_section(DataRecipe, {"source": "a:b", "weight": weight}, where="recipe")
