"""A stage that compares answers, from rows of a manifest to steps."""

import io
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from anymal.errors import RecipeError
from anymal.recipe.schema import load_recipe
from train import out_of_memory, reference_scores, stage
from train.errors import TrainingError
from train.interrupt import Interrupted
from train.metrics import StepMetrics, read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]
COLOURS = ("red", "green", "blue")
MDPO = "{kind: preference, preset: mdpo}"


def pair(number: int, **changes: Any) -> dict[str, Any]:
    """A question about a square of the workshop, with a right and a wrong answer."""
    picture = {"type": "image_url", "image_url": {"url": f"{number}.png"}}
    question = {"type": "text", "text": "What colour is it?" + " Say it." * (number % 2)}
    row = {
        "messages": [{"role": "user", "content": [picture, question]}],
        "chosen": f"It is {COLOURS[number % 3]}.",
        "rejected": f"It is {COLOURS[(number + 1) % 3]}, I think.",
        "meta": {"severity": 1 + number % 3},
    }
    return {key: value for key, value in (row | changes).items() if value is not None}


@pytest.fixture(scope="module")
def pairs(workshop: Path) -> Path:
    path = workshop / "squares" / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(pair(number)) for number in range(6)) + "\n")
    return path


@pytest.fixture
def recipe_of(write_recipe: WriteRecipe, pairs: Path) -> Callable[..., Any]:
    """Makes a recipe whose second stage compares answers; `first` keeps the first, too.

    With `measures`, the pairs are also held out.
    """

    def make(
        run_dir: Path,
        *overrides: str,
        objective: str = MDPO,
        first: bool = False,
        measures: bool = False,
    ) -> Any:
        data = f"[{{manifest: {pairs}}}]"
        given = [
            f"stages.instruct.objective={objective}",
            f"stages.instruct.data={data}",
            f"stages.instruct.heldout={data if measures else 'null'}",
            "stages.instruct.steps=4",
            "stages.instruct.warmup_steps=0",
            "model.lora.dropout=0",
            "stages.align.steps=2",
            "stages.align.warmup_steps=0",
            "stages.align.heldout=null",
            *overrides,
        ]
        whole = load_recipe(write_recipe(run_dir), given)
        return whole if first else whole.model_copy(update={"stages": whole.stages[1:]})

    return make


def train(recipe: Any, *, resume: bool = False) -> str:
    shown = io.StringIO()
    run(recipe, resume=resume, console=Console(file=shown, width=200))
    return shown.getvalue()


def steps_of(run_dir: Path) -> list[StepMetrics]:
    return [step for step in read_metrics(run_dir / "metrics.jsonl") if step.stage == "instruct"]


def weights_of(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(run_dir)}/{name}": tensor
        for path in sorted((run_dir / "bundle").rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize(("objective", "num_terms"), [("rlhf_v", 1), ("mdpo", 3)])
def test_a_stage_begins_at_log_2_for_each_term(
    recipe_of: Callable[..., Any], tmp_path: Path, objective: str, num_terms: int
) -> None:
    preset = f"{{kind: preference, preset: {objective}}}"
    # The stage before lets LoRA train, so that the reference is not the model without adapters.
    train(
        recipe_of(
            tmp_path, "stages.align.kind=instruct", objective=preset, first=True, measures=True
        )
    )
    steps = steps_of(tmp_path)
    assert steps[0].loss == pytest.approx(num_terms * math.log(2), abs=1e-6)
    assert steps[0].targets == 2
    assert steps[0].measures is not None
    assert steps[0].measures["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert steps[-1].loss < steps[0].loss
    assert steps[-1].measures is not None
    assert steps[-1].measures["rewards/margins"] > 0
    assert steps[-1].measures["rewards/accuracies"] == 1.0
    assert steps[-1].heldout_loss is not None
    assert steps[-1].measures["heldout_rewards/margins"] > 0
    assert steps[-1].measures["heldout_rewards/accuracies"] == 1.0


def test_cutting_a_batch_between_pairs_takes_the_same_steps(
    recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    whole = ("stages.instruct.batch_size=3", "stages.instruct.steps=2")
    train(recipe_of(tmp_path / "whole", *whole))
    train(recipe_of(tmp_path / "cut", *whole, "stages.instruct.micro_batch=1"))
    train(recipe_of(tmp_path / "packed", *whole, "stages.instruct.packing=true"))
    ours, *others = (weights_of(tmp_path / name) for name in ("whole", "cut", "packed"))
    for theirs in others:
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-5, atol=1e-6)
    losses = [[s.loss for s in steps_of(tmp_path / name)] for name in ("whole", "cut", "packed")]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert losses[2] == pytest.approx(losses[0], abs=1e-6)


def test_a_pair_is_halved_with_its_branches(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = stage.optimise

    def hungry(model: Any, *args: Any, objective: Any, **kwargs: Any) -> Any:
        def fails_on_many(model: Any, batch: Any) -> Any:
            seen.append(len(batch.names))
            if len(batch.names) > 3:  # one pair of mdpo
                raise torch.OutOfMemoryError("CUDA out of memory")
            return objective(model, batch)

        return real(model, *args, objective=fails_on_many, **kwargs)

    monkeypatch.setattr(stage, "optimise", hungry)
    shown = train(recipe_of(tmp_path, "stages.instruct.batch_size=3", "stages.instruct.steps=1"))
    assert seen == [9, 6, 3, 3, 3]
    assert "stages.instruct.micro_batch is 1 for the rest of the stage" in shown


class PowerCutError(Exception):
    """The machine went off."""


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe_of(tmp_path / "straight", measures=True))
    taken = [0]
    real = stage.optimise

    def cut(*args: Any, **kwargs: Any) -> Any:
        taken[0] += 1
        if taken[0] == 4:
            raise PowerCutError
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "optimise", cut)
        with pytest.raises(PowerCutError):
            train(recipe_of(tmp_path / "cut", measures=True))
    shown = train(recipe_of(tmp_path / "cut", measures=True), resume=True)
    assert "resuming after step 2" in shown
    assert "reference of" not in shown
    ours, theirs = weights_of(tmp_path / "straight"), weights_of(tmp_path / "cut")
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    first, second = (
        [(s.step, s.loss, s.measures, s.heldout_loss) for s in steps_of(tmp_path / name)]
        for name in ("straight", "cut")
    )
    assert first == second


def test_scores_of_another_model_are_refused(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, "stages.instruct.steps=3")
    monkeypatch.setattr(stage, "_keep", lambda *args: 1 / 0)  # after the checkpoint of step 2
    with pytest.raises(ZeroDivisionError):
        train(recipe)
    path = tmp_path / "instruct" / "reference.safetensors"
    tensors = load_file(path)
    assert tensors["scores"].shape == (18,)  # six records, three branches
    save_file(tensors, path, metadata={"weights": "ab" * 32})
    with pytest.raises(TrainingError, match=r"scores of another model \(weights abababababab"):
        train(recipe, resume=True)
    path.unlink()
    with pytest.raises(TrainingError, match="is gone"):
        train(recipe, resume=True)


def test_an_interrupted_reference_is_continued(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, "stages.instruct.steps=1", "stages.instruct.micro_batch=2")
    real, ran = out_of_memory.Halving.map, [0]

    def interrupted(self: Any, *args: Any) -> Any:
        ran[0] += 1
        if ran[0] == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, *args)

    monkeypatch.setattr(out_of_memory.Halving, "map", interrupted)
    with pytest.raises(Interrupted, match="4 of 6 records are scored"):
        train(recipe)
    assert len(load_file(tmp_path / "instruct" / "reference.safetensors")["scores"]) == 12
    train(recipe, resume=True)
    assert ran[0] == 4  # once more for the last two records, and once for the step
    assert steps_of(tmp_path)[0].loss == pytest.approx(3 * math.log(2), abs=1e-6)


def test_a_reference_can_be_left_out(recipe_of: Callable[..., Any], tmp_path: Path) -> None:
    terms = "[{chosen: 1, rejected: -1, margin: 0.5, weight: 2}]"
    objective = f"{{kind: preference, beta: 1, reference: none, terms: {terms}}}"
    train(recipe_of(tmp_path, "stages.instruct.steps=1", objective=objective))
    assert not (tmp_path / "instruct" / "reference.safetensors").exists()
    assert steps_of(tmp_path)[0].loss != pytest.approx(2 * math.log(2), abs=1e-3)


@pytest.mark.parametrize(
    ("objective", "override", "message"),
    [
        ("{kind: preference}", "seed=1", r"objective\.preference\.terms"),
        ("{kind: preference, preset: dop}", "seed=1", "unknown preset 'dop'; known: dpo, halva"),
        ("{kind: preference, preset: dpo, terms: [{chosen: 1}]}", "seed=1", "exactly one"),
        ("{kind: preference, terms: [{best: 1}]}", "seed=1", "unknown answer 'best'"),
        ("{kind: preference, terms: [{rejected: -1}], sft: 1}", "seed=1", "branch chosen"),
        (
            "{kind: preference, terms: [{chosen: 1}], tokens: {changed: 5}}",
            "seed=1",
            "and rejected",
        ),
        ("{kind: preference, preset: dpo, k: 1}", "seed=1", "unknown key 'k'; known: kind"),
        (MDPO, "stages.instruct.modality_dropout=0.5", "set modality_dropout: 0"),
        (MDPO, "features=features", "chosen@crop, whose media are not those"),
        ("sing", "seed=1", "'answer' or 'words'"),
    ],
)
def test_a_recipe_says_what_is_wrong(
    recipe_of: Callable[..., Any], tmp_path: Path, objective: str, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, override, objective=objective)


def test_a_preset_is_nothing_but_its_keys(recipe_of: Callable[..., Any], tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, objective="{kind: preference, preset: stic, beta: 0.2}")
    written = recipe.model_dump(mode="json")["stages"][0]["objective"]
    terms = [{"chosen": 1.0, "rejected": -1.0}]
    assert written == {
        "kind": "preference",
        "terms": terms,
        "beta": 0.2,
        "tokens": None,
        "sft": 1 / 1024,
        "unit": "answer",
        "kl": None,
        "reference": "start",
    }
    assert type(recipe).model_validate(recipe.model_dump(mode="json"))


def test_a_reference_is_saved_as_it_grows(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_scores, "SAVE_EVERY", 6)
    sizes = []
    real = reference_scores._write_scores

    def watched(path: Path, known: Any, *, digest: str) -> int:
        sizes.append(len(known))
        return real(path, known, digest=digest)

    monkeypatch.setattr(reference_scores, "_write_scores", watched)
    micro_batch = "stages.instruct.micro_batch=1"
    train(recipe_of(tmp_path, "stages.instruct.steps=1", micro_batch))
    assert sizes == [6, 12, 18]
