"""The evaluation on a real, tiny, random model: one image encoder and one motion encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from anymal.assemble import Assembled
from anymal.bundle.save import save_bundle
from anymal.cli.evaluate import eval_command
from anymal.evaluation.answer_log import AnswerLog
from anymal.evaluation.answers import start_batch_assistant
from anymal.evaluation.runner import evaluate
from tests.anymal.asking import answers


def motion(number: int) -> dict[str, Any]:
    samples = np.random.default_rng(number).normal(size=(40 + number, 6)).round(3).tolist()
    return {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50.0}}


@pytest.fixture
def records(colours: Any) -> list[dict[str, Any]]:
    """Questions about a picture and a motion recording each, of different lengths."""
    found = []
    for number, name in enumerate(colours.names * 2):
        item = colours.record(name, "Which colour?" + " Please." * number, number=number)
        item["messages"][0]["content"].insert(1, motion(number))
        found.append(item)
    return found


def test_answers_do_not_depend_on_the_batch(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    prompts = [{"messages": item["messages"][:1]} for item in records]
    alone, together = (
        answers(assembled, prompts, batch_size=size, max_tokens=6) for size in (1, 6)
    )
    assert alone == together
    assert any(alone)


def test_controls_pass_through_the_ordinary_path(
    assembled: Assembled, records: list[dict[str, Any]]
) -> None:
    log = AnswerLog()
    with start_batch_assistant(assembled, name="model", batch_size=16) as assistant:
        results = evaluate(assistant, {"colour": records}, max_tokens=4, log=log)
    (row,) = results.tasks
    controls = ["blank", "swapped", "wrong_medium", "without image", "without imu"]
    assert {name: share.n for name, share in row.controls.items()} == dict.fromkeys(controls, 6)
    assert set(row.share) == {"image", "imu"}
    assert row.modalities == ["image_url", "input_imu"]
    asked = [line["asked_with"] for line in log.lines if "key" in line]
    assert asked == [label for label in ["media", *controls] for _ in range(6)]


def test_figures_fit_into_a_bundle(
    assembled: Assembled, records: list[dict[str, Any]], tmp_path: Path
) -> None:
    with start_batch_assistant(assembled, name="model", batch_size=16) as assistant:
        results = evaluate(assistant, {"colour": records}, controls=["blank"], max_tokens=2)
    folder = save_bundle(assembled, tmp_path / "bundle", results=results)
    written = json.loads((folder / "bundle.json").read_text())
    assert written["results"] == results.model_dump(mode="json")


def test_command_evaluates_a_saved_bundle(
    assembled: Assembled, records: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = save_bundle(assembled, tmp_path / "bundle")
    manifest = tmp_path / "heldout.jsonl"
    manifest.write_text("\n".join(json.dumps(item) for item in records))
    app = typer.Typer()
    app.command()(eval_command)
    card = tmp_path / "card.md"
    options = ["--suite", str(manifest), "--limit", "3", "--card", str(card)]
    options += ["--local-models", str(Path(assembled.model_recipe.llm.path).parent)]
    result = CliRunner().invoke(app, [str(folder), *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert "swapped" in result.output
    assert f"anymal eval {folder} --limit 3" in card.read_text()
