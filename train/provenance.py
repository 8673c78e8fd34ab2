"""What a bundle records about its training: the stages and their data.

Leaves out the paths of this machine, because bundles are shared.
"""

from collections.abc import Sequence
from typing import Any

from train.best import kept_step
from train.metrics import StepMetrics, read_metrics
from train.stage_run import StageRun

# Where data was and how often the run saved matters to the run, not to its bundle.
_LEFT_OUT = {"data", "heldout", "save_every", "eval_every", "ask_every", "epochs"}


def stage_facts(run: StageRun, number: int) -> list[Any]:
    """How the model was trained up to the end of a stage.

    Args:
        run: The run, with metrics up to there.
        number: Index of the stage.

    Returns:
        The stages of the bundle that it started from, then the settings of each stage of this run
        with its last losses.
    """
    before = [] if run.started_from is None else run.started_from.stages
    return [*before, *(_settings(run, earlier) for earlier in range(number + 1))]


def data_facts(run: StageRun, number: int) -> list[Any]:
    """Where all training records came from, and under which licence.

    Args:
        run: The run.
        number: Index of the last stage to include.

    Returns:
        The sources of the bundle that it started from, then those of each stage of this run.
    """
    before = [] if run.started_from is None else run.started_from.data_sources
    return [*before, *(fact for earlier in range(number + 1) for fact in _sources(run, earlier))]


def _settings(run: StageRun, number: int) -> dict[str, Any]:
    stage = run.recipe.stages[number]
    steps = [step for step in read_metrics(run.folder.metrics) if step.stage == stage.name]
    kept = kept_step(steps, stage)  # None where the file was removed
    return {
        **stage.model_dump(mode="json", exclude=_LEFT_OUT),
        "kept_step": None if kept is None else kept.step,
        "loss": None if kept is None else kept.loss,
        "heldout_loss": None if kept is None else _last(kept.step, steps),
    }


def _last(kept: int, steps: Sequence[StepMetrics]) -> float | None:
    """The last held-out loss up to a step, if any was measured."""
    found = [each.heldout_loss for each in steps if each.step <= kept]
    return next((loss for loss in reversed(found) if loss is not None), None)


def _sources(run: StageRun, number: int) -> list[dict[str, Any]]:
    return [
        {
            "stage": run.recipe.stages[number].name,
            "name": source.name,
            "origin": source.origin,
            "records": len(source.records),
            "weight": source.weight,
            "licence": source.licence,
        }
        for source in run.data[number].learnt_from
    ]
