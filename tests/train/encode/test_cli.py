import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import train.encode.run
from anymal.cli.late_commands import late_commands
from anymal.cli.main import app as anymal_app
from anymal.errors import RecipeError
from train.encode.cli import encode as command
from train.interrupt import Interrupted

app = typer.Typer()
app.command()(command)

WriteRecipe = Callable[[Path], Path]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reached the function, which asks and then succeeds."""
    given: dict[str, Any] = {}

    def remember(recipe: Any, options: Any, **arguments: Any) -> bool:
        given.update(recipe=recipe, options=options, **arguments)
        return bool(options.confirm("features take about 1.0 GB"))

    monkeypatch.setattr(train.encode.run, "encode", remember)
    return given


def test_it_is_a_command_of_anymal() -> None:
    late = late_commands()
    assert late["data encode"].target == "train.encode.cli:encode"
    assert late["data encode"].help


@pytest.mark.parametrize(("word", "option"), [("encode", "--batch-size"), ("scenes", "--seed")])
def test_it_stands_beside_the_topics_of_anymal_data(word: str, option: str) -> None:
    result = CliRunner().invoke(anymal_app, ["data", word, "--help"], color=False)
    assert result.exit_code == 0
    assert option in re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def test_options_reach_the_function(
    tmp_path: Path, write_recipe: WriteRecipe, given: dict[str, Any]
) -> None:
    path = write_recipe(tmp_path / "run")
    words = [str(path), "seed=9", "--out", str(tmp_path / "f"), "--stage", "align", "--limit", "7"]
    result = CliRunner().invoke(app, [*words, "--batch-size", "3", "--yes"])
    assert result.exit_code == 0, result.output
    assert given["recipe"].seed == 9
    options = given["options"]
    assert (options.root, list(options.stages)) == (tmp_path / "f", ["align"])
    assert (options.limit, options.batch_windows) == (7, 3)
    assert f"anymal train {path} seed=9 features={tmp_path / 'f'}" in result.output


def test_the_recipe_says_where(
    tmp_path: Path, write_recipe: WriteRecipe, given: dict[str, Any]
) -> None:
    path = write_recipe(tmp_path / "run")
    result = CliRunner().invoke(app, [str(path), "features=cache", "--yes"])
    assert result.exit_code == 0, result.output
    assert given["options"].root == path.parent / "cache"  # as other paths of a recipe


@pytest.mark.parametrize(("answer", "exit_code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_it_asks_first(
    tmp_path: Path,
    write_recipe: WriteRecipe,
    given: dict[str, Any],
    answer: str,
    exit_code: int,
) -> None:
    path = write_recipe(tmp_path / "run")
    result = CliRunner().invoke(app, [str(path), "features=cache"], input=answer)
    assert result.exit_code == exit_code
    assert "features take about 1.0 GB" in result.output


def test_without_a_folder_it_says_what_to_give(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    result = CliRunner().invoke(app, [str(write_recipe(tmp_path / "run"))])
    assert isinstance(result.exception, RecipeError)
    assert "--out FOLDER" in str(result.exception)


def test_a_signal_exits_as_shells_expect(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any, **arguments: Any) -> bool:
        raise Interrupted("Stopped.", exit_code=143)

    monkeypatch.setattr(train.encode.run, "encode", interrupt)
    path = write_recipe(tmp_path / "run")
    result = CliRunner().invoke(app, [str(path), "features=cache", "--yes"])
    assert result.exit_code == 143
    assert "continues from there" in result.output
