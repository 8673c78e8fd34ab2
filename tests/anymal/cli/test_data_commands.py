"""`anymal data check`, `show` and `audit`: what they print, and how they end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from anymal.cli import main
from anymal.errors import DataError
from anymal.playground import sources
from anymal.playground.manifest import write_manifest

if TYPE_CHECKING:
    from anymal.assemble import Assembled
    from anymal.recipe.schema import ModelRecipe


def run(*words: str) -> Any:
    return CliRunner().invoke(main.app, ["data", *words], catch_exceptions=False)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(sources.scenes(split="train", size=4), tmp_path / "data")


def test_clean_data_end_with_0(manifest: Path) -> None:
    done = run("check", str(manifest), "--licence", "CC0-1.0")
    assert done.exit_code == 0
    assert "4 rows, 0 problems" in done.stdout
    assert "image: pixels of the longer side\n  96 ####" in done.stdout


def test_problems_end_with_1_and_can_be_allowed(manifest: Path) -> None:
    done = run("check", str(manifest))
    assert done.exit_code == 1
    assert f"{manifest}: licence: the licence is not stated; write its SPDX" in done.stdout
    assert run("check", str(manifest), "--allow", "licence").exit_code == 0
    with pytest.raises(DataError, match="--allow licences: known are "):
        run("check", str(manifest), "--allow", "licences")


def test_json_holds_every_problem(manifest: Path) -> None:
    with manifest.open("a") as file:
        file.write("{}\nnot json\n")
    done = run("check", str(manifest), "--json", "--licence", "MIT")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["rows"] == 6
    assert found["kinds"] == {"no_messages": 1, "unreadable": 1}
    assert found["problems"][0] == {
        "where": f"{manifest}:5",
        "kind": "no_messages",
        "reason": "the row has no messages",
        "change": "add them, or remove it",
    }
    assert found["sizes"] == {"image": [{"low": 96.0, "high": 96.0, "count": 4}]}


def test_show_prints_and_draws_a_row(manifest: Path, tmp_path: Path) -> None:
    done = run("show", str(manifest), "--row", "2", "--png", str(tmp_path / "row.png"))
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{manifest}:2\n")
    assert "image 1: 96 x 96 pixels" in done.stdout
    assert (tmp_path / "row.png").read_bytes().startswith(b"\x89PNG")


def test_audit_ends_with_1_where_media_are_shared(manifest: Path, tmp_path: Path) -> None:
    other = write_manifest(sources.scenes(split="heldout", size=3), tmp_path / "other")
    clean = run("audit", str(manifest), "--against", str(other))
    assert (clean.exit_code, clean.stdout) == (0, "7 rows, 0 matches\n")
    same = run("audit", str(manifest), "--against", str(manifest), "--json")
    assert same.exit_code == 1
    found = json.loads(same.stdout)
    assert [match["how"] for match in found["matches"]] == ["the same bytes"] * 4
    assert found["unread"] == 0


def test_an_audit_needs_two_sides(manifest: Path) -> None:
    with pytest.raises(DataError, match="needs training and evaluation data"):
        run("audit", str(manifest))


def test_options_of_a_file_are_not_for_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="are for a data file; a recipe has these in its data"):
        run("check", str(tmp_path / "recipe.yaml"), "--licence", "MIT")
    with pytest.raises(DataError, match="which only a recipe takes"):
        run("check", str(tmp_path / "rows.jsonl"), "seed=3")


def test_a_recipe_counts_tokens_and_tells_training_from_heldout(
    manifest: Path, tmp_path: Path, model_recipe: "Callable[..., ModelRecipe]"
) -> None:
    model = model_recipe().model_dump(mode="json")
    stage = {"name": "a", "kind": "align", "steps": 1, "batch_size": 1, "lr": 0.1}
    entry = {"manifest": str(manifest), "licence": "CC0-1.0"}
    stage |= {"data": [entry], "heldout": [entry]}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"run_dir": "run", "model": model, "stages": [stage]}))
    done = run("check", str(path), "--json")
    assert done.exit_code == 0, done.stdout
    assert sum(each["count"] for each in json.loads(done.stdout)["tokens"]) == 4
    most = json.loads(done.stdout)["tokens"][-1]["high"]
    cut = run("check", str(path), f"model.llm.max_tokens={most - 1:.0f}", "--json")
    assert cut.exit_code == 1
    assert set(json.loads(cut.stdout)["kinds"]) == {"too_long"}
    shown = run("show", str(path))
    assert "[image 1 x 32]" in shown.stdout
    assert "32 of them for media" in shown.stdout
    assert run("audit", str(path)).stdout.endswith("8 rows, 4 matches\n")


def test_the_processor_of_a_recipe_needs_no_language_model(
    manifest: Path, model_recipe: "Callable[..., ModelRecipe]", assembled: "Assembled"
) -> None:
    from anymal.assemble import build_processor

    record = json.loads(manifest.read_text().splitlines()[0])
    samples = [
        processor(record, base_dir=manifest.parent)
        for processor in (assembled.processor, build_processor(model_recipe()))
    ]
    assert samples[0].ids.tolist() == samples[1].ids.tolist()
    assert samples[0].labels.tolist() == samples[1].labels.tolist()
    assert samples[0].slots == samples[1].slots
