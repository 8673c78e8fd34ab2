import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from anymal.bundle.save import save_bundle
from anymal.errors import RecipeError
from anymal.llm.packable import Unpackable
from anymal.recipe.schema import load_recipe
from train import passes, stage
from train.errors import TrainingError
from train.interrupt import Interrupted
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]
TOTAL_STEPS = 11


class PowerCutError(Exception):
    """The machine went off."""


def train(recipe: Path, *overrides: str, resume: bool = False) -> str:
    """Run a recipe; returns what was shown."""
    shown = io.StringIO()
    run(load_recipe(recipe, overrides), resume=resume, console=Console(file=shown, width=200))
    return shown.getvalue()


def train_one_stage(recipe: Path, *overrides: str) -> None:
    """Run the first stage of a recipe."""
    whole = load_recipe(recipe, overrides)
    alone = whole.model_copy(update={"stages": whole.stages[:1]})
    run(alone, resume=False, console=Console(file=io.StringIO()))


def before_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Call `act` just before the optimiser step of that number."""
    real, taken = stage.optimise, [0]

    def optimise(*args: Any, **kwargs: Any) -> Any:
        taken[0] += 1
        if taken[0] == number:
            act()
        return real(*args, **kwargs)

    monkeypatch.setattr(stage, "optimise", optimise)


def weights_of(run_dir: Path) -> dict[str, torch.Tensor]:
    """All tensors in the bundles of a run: the final one and those of the stages."""
    return {
        f"{path.relative_to(run_dir)}/{name}": tensor
        for path in sorted(run_dir.glob("**/bundle/**/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same_run(one: Path, other: Path) -> None:
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    assert any("lora" in name for name in ours)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    first, second = (
        [(s.stage, s.step, s.loss, s.lr, s.grad_norm, s.heldout_loss) for s in read_metrics(path)]
        for path in (one / "metrics.jsonl", other / "metrics.jsonl")
    )
    assert first == second


@pytest.fixture(scope="module")
def straight(
    write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A run that nothing interrupted, and what it showed."""
    run_dir = tmp_path_factory.mktemp("runs") / "straight"
    return run_dir, train(write_recipe(run_dir))


def test_a_run_leaves_bundles_recipe_metrics_and_curve(straight: tuple[Path, str]) -> None:
    run_dir, shown = straight
    for folder in ("bundle", "align/bundle", "instruct/bundle"):
        assert (run_dir / folder / "bundle.json").is_file()
    assert load_recipe(run_dir / "recipe.yaml", []).seed == 3
    steps = read_metrics(run_dir / "metrics.jsonl")
    assert [(s.stage, s.step) for s in steps] == [
        *(("align", n) for n in range(1, 7)),
        *(("instruct", n) for n in range(1, 6)),
    ]
    measured = [(s.stage, s.step) for s in steps if s.heldout_loss is not None]
    assert measured == [("align", 3), ("align", 6), ("instruct", 5)]
    assert steps[0].lr == pytest.approx(0.5e-2)
    assert steps[-1].loss < steps[0].loss
    with Image.open(run_dir / "loss.png") as curve:
        assert curve.format == "PNG"
    assert sorted(os.listdir(run_dir / "checkpoints")) == ["00000010", "00000011"]
    assert "stage align" in shown
    assert "held-out loss" in shown
    assert "blank" in shown


def test_a_stage_starts_from_the_weights_of_the_one_before(straight: tuple[Path, str]) -> None:
    weights = weights_of(straight[0])
    aligned = {n: t for n, t in weights.items() if n.startswith("align/bundle/aligners")}
    assert aligned
    final = {n.removeprefix("align/"): weights[n.removeprefix("align/")] for n in aligned}
    # The second stage moved them, but not further than its few small steps can.
    distances = [float((aligned[f"align/{n}"] - t).abs().max()) for n, t in final.items()]
    assert 0 < max(distances) <= 5 * 5e-3 * 1.5


# Inside a stage, off a checkpoint; at the first step of a stage. Then before any checkpoint, on a
# checkpoint, and at the last steps of a stage.
@pytest.mark.parametrize(
    "cut", [4, 7, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (2, 5, 10, 11))]
)
def test_resumed_equals_uninterrupted(
    straight: tuple[Path, str],
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: int,
) -> None:
    recipe = write_recipe(tmp_path / "run")

    def cut_power() -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        before_step(patch, cut, cut_power)
        with pytest.raises(PowerCutError):
            train(recipe)
    random.random(), torch.rand(3)  # whatever the next process did before
    train(recipe, resume=True)
    assert_same_run(tmp_path / "run", straight[0])


def test_ctrl_c_saves_and_the_run_goes_on_exactly(
    straight: tuple[Path, str],
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_recipe(tmp_path / "run")
    with monkeypatch.context() as patch:
        before_step(patch, 5, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted) as caught:
            train(recipe)
    assert caught.value.exit_code == 130
    assert sorted(os.listdir(tmp_path / "run" / "checkpoints")) == ["00000004", "00000005"]
    assert "resuming after step 5 of stage align" in train(recipe, resume=True)
    assert_same_run(tmp_path / "run", straight[0])


def test_ctrl_c_after_the_last_step_stops_before_the_questions(
    straight: tuple[Path, str],
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_recipe(tmp_path / "run")
    with monkeypatch.context() as patch:

        def save(model: Any, folder: Path, **facts: Any) -> None:
            if folder.parent.name == "instruct":
                signal.raise_signal(signal.SIGTERM)
            save_bundle(model, folder, **facts)

        patch.setattr("train.run.save_bundle", save)
        with pytest.raises(Interrupted, match="after step 5 of stage instruct") as caught:
            train(recipe)
    assert caught.value.exit_code == 143
    assert not (tmp_path / "run" / "results.json").exists()
    train(recipe, resume=True)
    assert_same_run(tmp_path / "run", straight[0])


def test_a_finished_run_may_be_resumed_and_stays_the_same(straight: tuple[Path, str]) -> None:
    before = weights_of(straight[0])
    train(straight[0] / "recipe.yaml", resume=True)
    after = weights_of(straight[0])
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_taken_run_dir_is_refused(straight: tuple[Path, str]) -> None:
    with pytest.raises(TrainingError, match="--resume"):
        train(straight[0] / "recipe.yaml")


def test_resuming_with_another_recipe_is_refused(straight: tuple[Path, str]) -> None:
    with pytest.raises(TrainingError, match=r"stages\.0\.lr"):
        train(straight[0] / "recipe.yaml", "stages.align.lr=0.5", resume=True)


def test_two_by_one_trains_like_one_by_two(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    losses = []
    for name, batch_size, accumulate in (("a", 4, 1), ("b", 2, 2)):
        train_one_stage(
            write_recipe(tmp_path / name),
            f"stages.align.batch_size={batch_size}",
            f"stages.align.accumulate={accumulate}",
            "stages.align.bucket=false",
            "stages.align.steps=3",
            "stages.align.heldout=null",
        )
        losses.append([step.loss for step in read_metrics(tmp_path / name / "metrics.jsonl")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_killed_processes_resume_to_the_same_weights(
    straight: tuple[Path, str], write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    command = [
        sys.executable,
        "-c",
        "import sys; from anymal.cli.main import main; sys.argv[0] = 'anymal'; main()",
        "train",
        str(write_recipe(run_dir)),
        "--resume",
    ]
    for wanted in sorted(random.Random(3).sample(range(1, TOTAL_STEPS), 3)):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            metrics = run_dir / "metrics.jsonl"
            while process.poll() is None:
                if metrics.is_file() and metrics.read_bytes().count(b"\n") >= wanted:
                    process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.02)
            assert process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_same_run(run_dir, straight[0])


def test_results_hold_the_blank_control(straight: tuple[Path, str]) -> None:
    results = json.loads((straight[0] / "results.json").read_text())
    (task,) = results["tasks"]
    assert task["score"]["n"] == 6
    assert "blank" in task["controls"]


def test_micro_batches_and_packing_change_no_step(
    straight: tuple[Path, str], write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    cut = ["stages.align.micro_batch=1", "stages.align.packing=true"]
    train_one_stage(write_recipe(tmp_path / "cut"), *cut)
    losses = [
        [
            number
            for step in read_metrics(run_dir / "metrics.jsonl")
            if step.stage == "align"
            for number in (step.loss, step.grad_norm, step.tokens, step.heldout_loss or 0.0)
        ]
        for run_dir in (tmp_path / "cut", straight[0])
    ]
    assert len(losses[0]) == 6 * 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_packing_is_refused_for_a_model_that_would_compute_something_else(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(llm: object) -> None:
        raise Unpackable("it attends in chunks")

    monkeypatch.setattr(passes, "allow_packing", refuse)
    with pytest.raises(
        RecipeError, match=r"stages\.align\.packing: .*it attends in chunks; set packing: false"
    ):
        train(write_recipe(tmp_path / "run"), "stages.align.packing=true")


def test_aligners_learn_the_words_of_answers(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "run")
    train(recipe, "stages.align.objective=words", "stages.align.steps=20")
    losses = [
        row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if row.stage == "align"
    ]
    assert losses[-1].loss < 0.5 * losses[0].loss
    assert losses[-1].targets == 2 * 2 * 32  # soft tokens of a step
