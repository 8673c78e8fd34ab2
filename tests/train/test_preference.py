"""A stage that compares answers, from rows of a manifest to steps."""

import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train.preferring import steps_of, train, weights_of
from train import out_of_memory, reference_scores, stage
from train.errors import TrainingError
from train.interrupt import Interrupted

MDPO = "{kind: preference, preset: mdpo}"
POVID = "{kind: preference, preset: povid}"
# Of the squares, whose answers do not say what pairs ask for.
HALVA = "{kind: preference, preset: halva, kl: {data: [{manifest: squares/train.jsonl}]}}"


@pytest.mark.parametrize(("objective", "num_terms"), [("rlhf_v", 1), ("mdpo", 3), ("povid", 1)])
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


@pytest.mark.parametrize("preset", [MDPO, POVID, HALVA])
def test_cutting_a_batch_between_pairs_takes_the_same_steps(
    recipe_of: Callable[..., Any], tmp_path: Path, preset: str
) -> None:
    whole = ("stages.instruct.batch_size=3", "stages.instruct.steps=2")
    ways = {"whole": "seed=3", "cut": "stages.instruct.micro_batch=1"}
    for name, way in (ways | {"packed": "stages.instruct.packing=true"}).items():
        train(recipe_of(tmp_path / name, *whole, way, objective=preset))
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


@pytest.mark.parametrize("preset", [MDPO, POVID, HALVA])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    recipe_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    train(recipe_of(tmp_path / "straight", measures=True, objective=preset))
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
            train(recipe_of(tmp_path / "cut", measures=True, objective=preset))
    shown = train(recipe_of(tmp_path / "cut", measures=True, objective=preset), resume=True)
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
