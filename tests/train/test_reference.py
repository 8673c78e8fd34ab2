"""Which model a stage compares with, and where a resumed run finds it."""

import contextlib
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from anymal.errors import RecipeError
from tests.train.preferring import steps_of, train, weights_of
from train import stage
from train.errors import TrainingError

POVID = "{kind: preference, preset: povid}"
HALVA = "{kind: preference, preset: halva, kl: {data: [{manifest: squares/train.jsonl}]}}"
LOG_2 = math.log(2)


@pytest.mark.parametrize("preset", ["dpo", "povid"])
def test_the_base_is_the_start_of_a_fresh_lora(
    recipe_of: Callable[..., Any], tmp_path: Path, preset: str
) -> None:
    losses = {}
    for name in ("start", "base"):
        objective = f"{{kind: preference, preset: {preset}, reference: {name}}}"
        train(recipe_of(tmp_path / name, objective=objective))
        losses[name] = [step.loss for step in steps_of(tmp_path / name)]
    assert losses["base"][0] == pytest.approx(LOG_2, abs=1e-6)
    assert losses["base"] == pytest.approx(losses["start"], abs=1e-6)


@pytest.mark.parametrize("preset", ["dpo", "povid"])
def test_the_base_leaves_a_trained_lora_out(
    recipe_of: Callable[..., Any], tmp_path: Path, preset: str
) -> None:
    objective = f"{{kind: preference, beta: 5, preset: {preset}, reference: base}}"
    before = ("stages.align.kind=instruct", "stages.align.lora_lr=0.1")
    train(recipe_of(tmp_path, *before, objective=objective, first=True))
    assert abs(steps_of(tmp_path)[0].loss - LOG_2) > 1e-3


def test_a_base_without_a_lora_that_trains_is_refused(
    recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    objective = "{kind: preference, preset: dpo, reference: base}"
    recipe = recipe_of(tmp_path, "stages.instruct.kind=align", objective=objective)
    with pytest.raises(RecipeError, match=r"stages\.instruct\.objective\.reference: base leaves"):
        train(recipe)


def test_a_model_is_held_where_nothing_is_compared(
    recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    train(recipe_of(tmp_path, objective=HALVA, measures=True))
    steps = steps_of(tmp_path)
    found = [step.measures["reference/kl"] for step in steps if step.measures]
    assert len(found) == 4
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[-1] > 1e-6
    assert steps[-1].measures is not None
    assert steps[-1].measures["heldout_reference/kl"] > 1e-6
    assert not (tmp_path / "instruct" / "reference.safetensors").exists()


def test_a_stage_can_be_held_and_compared_with_its_start(
    recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    kl = "kl: {weight: 1, data: [{manifest: squares/train.jsonl}]}"
    train(recipe_of(tmp_path, objective=f"{{kind: preference, preset: dpo, {kl}}}"))
    assert steps_of(tmp_path)[0].loss == pytest.approx(LOG_2, abs=1e-6)
    scores = load_file(tmp_path / "instruct" / "reference.safetensors")["scores"]
    assert len(scores) == 12  # six records, two branches, none of what is kept


def test_weights_of_another_start_are_refused(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, "stages.instruct.steps=3", objective=POVID)
    monkeypatch.setattr(stage, "_keep", lambda *args: 1 / 0)  # after the checkpoint of step 2
    with pytest.raises(ZeroDivisionError):
        train(recipe)
    path = tmp_path / "instruct" / "start.safetensors"
    tensors = load_file(path)
    assert any(".lora_" in name for name in tensors)
    assert any(name.startswith("aligners.") for name in tensors)
    save_file(tensors, path, metadata={"weights": "ab" * 32})
    with pytest.raises(TrainingError, match=r"weights of another start \(abababababab"):
        train(recipe, resume=True)
    path.unlink()
    with pytest.raises(TrainingError, match="cannot be read"):
        train(recipe, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective", ["{kind: preference, preset: mdpo}", POVID, HALVA], ids=["mdpo", "povid", "halva"]
)
def test_killed_processes_resume_to_the_same_weights(
    recipe_of: Callable[..., Any], tmp_path: Path, objective: str
) -> None:
    changes = {"first": True, "objective": objective}
    train(recipe_of(tmp_path / "straight", **changes))
    run_dir = tmp_path / "killed"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_of(run_dir, **changes).model_dump(mode="json")))
    command = [
        sys.executable,
        "-c",
        "import sys; from anymal.cli.main import main; sys.argv[0] = 'anymal'; main()",
        "train",
        str(path),
        "--resume",
    ]
    for wanted in (3, 5):  # of six steps, the last four of which compare answers
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            metrics = run_dir / "metrics.jsonl"
            while process.poll() is None:
                if metrics.is_file() and metrics.read_bytes().count(b"\n") >= wanted:
                    process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.02)
            assert process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    ours, theirs = weights_of(tmp_path / "straight"), weights_of(run_dir)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    first, second = (
        [(s.step, s.loss) for s in steps_of(tmp_path / n)] for n in ("straight", "killed")
    )
    assert first == second
