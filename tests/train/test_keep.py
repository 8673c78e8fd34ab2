"""The weights that a stage keeps, and questions between its steps, alike in a resumed run."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from anymal.bundle.manifest import read_manifest
from anymal.errors import RecipeError
from anymal.recipe.schema import load_recipe
from train import stage
from train.metrics import StepMetrics, read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]
# By stage and step. The first stage ends after its fourth step, for it has patience for two.
LOSSES = {"align": (3.0, 2.0, 2.5, 2.0, 9.0, 9.0), "instruct": (4.0, 1.0, 2.0)}
JUDGED = (
    *("stages.align.keep=best", "stages.align.patience=2", "stages.align.eval_every=1"),
    *("stages.instruct.keep=best", "stages.instruct.eval_every=1", "stages.instruct.steps=3"),
)


class PowerCutError(Exception):
    """The machine went off."""


class Trainer:
    """Runs a recipe; `after` has the weights after every step that was taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.after: dict[tuple[str, int], dict[str, torch.Tensor]] = {}
        self.cut: tuple[str, int] | None = None
        monkeypatch.setattr(stage, "measure", self._measure)

    def _measure(self, run: Any, number: int, passes: Any, metrics: StepMetrics) -> StepMetrics:
        at = metrics.stage, metrics.step
        if at == self.cut:
            raise PowerCutError
        state = run.assembled.model.trainable_state()
        self.after[at] = {name: tensor.clone() for name, tensor in state.items()}
        return replace(metrics, heldout_loss=LOSSES[metrics.stage][metrics.step - 1])

    def __call__(self, recipe: Path, *, resume: bool = False) -> str:
        shown = io.StringIO()
        console = Console(file=shown, width=200)
        settings = load_recipe(recipe, JUDGED)
        run(settings, resume=resume, console=console, checks_rows=False)
        return shown.getvalue()


@pytest.fixture(name="train")
def _train(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setattr("train.run.answer_tasks", lambda sources, limit: [])
    return Trainer(monkeypatch)


def aligners_of(bundle: Path) -> dict[str, torch.Tensor]:
    return load_file(bundle / "aligners.safetensors")


def all_weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(run_dir)}/{name}": tensor
        for path in sorted(run_dir.glob("**/bundle/**/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = all_weights(one), all_weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_stage_keeps_its_best_step_and_a_resumed_run_the_same(
    train: Trainer, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    straight = tmp_path / "straight"
    shown = train(write_recipe(straight))
    assert (
        "stage align ends after step 4, because patience is 2 and the best measurement is still "
        "that of step 2: held-out loss 2.0" in shown
    )
    assert "stage align keeps the weights of step 2: held-out loss 2.0" in shown
    for name, step, bundle in (("align", 2, "align/bundle"), ("instruct", 2, "bundle")):
        kept = aligners_of(straight / bundle)
        expected = train.after[name, step]
        assert all(torch.equal(kept[key], expected[f"aligners.{key}"]) for key in kept)
    assert not torch.equal(*(train.after["align", n]["aligners.image.queries"] for n in (2, 4)))
    facts = read_manifest(straight / "bundle").stages
    assert [(one["kept_step"], one["heldout_loss"]) for one in facts] == [(2, 2.0), (2, 1.0)]
    assert [row.step for row in read_metrics(straight / "metrics.jsonl")] == [1, 2, 3, 4, 1, 2, 3]
    # Before the end of patience, after it, and behind the best step of the last stage.
    recipe = write_recipe(tmp_path / "cut")
    for number, cut in enumerate((("align", 4), ("instruct", 1), ("instruct", 3))):
        train.cut = cut
        with pytest.raises(PowerCutError):
            train(recipe, resume=number > 0)
    train.cut = None
    train(recipe, resume=True)
    assert_same_weights(tmp_path / "cut", straight)


def instruct(recipe: Path, *overrides: str) -> list[StepMetrics]:
    """Run two steps of the second stage alone."""
    own = ["stages.instruct.steps=2", "stages.instruct.eval_samples=5"]
    whole = load_recipe(recipe, [*own, *overrides])
    alone = whole.model_copy(update={"stages": whole.stages[1:]})
    run(alone, resume=False, console=Console(file=io.StringIO()), checks_rows=False)
    return read_metrics(Path(whole.run_dir) / "metrics.jsonl")


def test_questions_between_steps_change_no_weight(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.answer_tasks", lambda sources, limit: [])
    rows = instruct(write_recipe(tmp_path / "plain"))
    assert [row.accuracy for row in rows] == [None, None]
    first, last = instruct(write_recipe(tmp_path / "asked"), "stages.instruct.ask_every=1")
    assert first.accuracy is not None
    assert last.accuracy is not None
    assert last.answers is not None
    assert len(last.answers) == 4  # of the five that were asked
    assert last.answers[0].keys() == {"question", "expected", "answer", "right"}
    assert_same_weights(tmp_path / "plain", tmp_path / "asked")


def test_a_stage_that_has_nothing_to_ask_is_refused(
    write_recipe: WriteRecipe, workshop: Path, tmp_path: Path
) -> None:
    lines = (workshop / "squares" / "train.jsonl").read_text().splitlines()
    path = workshop / "squares" / "no-answers.jsonl"
    messages = [json.loads(line)["messages"] for line in lines]
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in messages))
    heldout = f"stages.instruct.heldout=[{{manifest: {path}}}]"
    with pytest.raises(RecipeError, match=r"stages\.instruct\.ask_every: none of its held-out"):
        instruct(write_recipe(tmp_path / "run"), "stages.instruct.ask_every=1", heldout)
