"""Every shipped recipe can be read, names the command that runs it, and finds its sources."""

from importlib import import_module
from pathlib import Path

import pytest

from anymal.recipe import load_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "train" / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_recipe(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANYMAL_DATA", str(tmp_path))
    recipe = load_recipe(path, [])
    first_line = path.read_text().splitlines()[0]
    assert first_line == f"# anymal train {path.relative_to(ROOT)}"
    for stage in recipe.stages:
        for data in [*stage.data, *(stage.heldout or [])]:
            if data.source is not None:
                module, _, function = data.source.partition(":")
                assert callable(getattr(import_module(module), function))


def test_recipes_ship() -> None:
    assert ROOT / "train" / "recipes" / "quick.yaml" in RECIPES
