from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import train.run
from anymal.errors import RecipeError
from train.cli import train as command
from train.interrupt import Interrupted

app = typer.Typer()
app.command()(command)


def test_recipe_overrides_and_resume_reach_the_run(
    tmp_path: Path, write_recipe: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def remember(recipe: Any, **arguments: Any) -> None:
        given.update(recipe=recipe, **arguments)

    monkeypatch.setattr(train.run, "run", remember)
    path = write_recipe(tmp_path / "run")
    result = CliRunner().invoke(app, [str(path), "stages.align.steps=3", "seed=9", "--resume"])
    assert result.exit_code == 0, result.output
    assert given["recipe"].seed == 9
    assert given["recipe"].stages[0].steps == 3
    assert given["resume"] is True
    assert given["checks_rows"] is True
    assert given["is_commercial"] is False
    assert CliRunner().invoke(app, [str(path), "--no-check", "--commercial"]).exit_code == 0
    assert given["checks_rows"] is False
    assert given["is_commercial"] is True


def test_ctrl_c_exits_130_and_says_how_to_resume(
    tmp_path: Path, write_recipe: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(recipe: Any, **arguments: Any) -> None:
        raise Interrupted("Stopped after step 5.", exit_code=130)

    monkeypatch.setattr(train.run, "run", interrupt)
    path = write_recipe(tmp_path / "run")
    result = CliRunner().invoke(app, [str(path), "model.lora={r: 4}"])
    assert result.exit_code == 130
    assert f"anymal train {path} 'model.lora={{r: 4}}' --resume" in result.output
    result = CliRunner().invoke(app, [str(path), "--commercial", "--no-check"])
    assert f"anymal train {path} --no-check --commercial --resume" in result.output


def test_a_mistake_in_the_recipe_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("run_dir: x\nstagse: []\n")
    result = CliRunner().invoke(app, [str(path)])
    assert isinstance(result.exception, RecipeError)
    assert "stagse" in str(result.exception)
