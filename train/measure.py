"""What a stage measures on held-out records between two steps: their loss, and its own answers.

Does not decide what follows from it (see `train.best`); nothing of the training changes.
"""

from collections.abc import Sequence
from dataclasses import replace

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe
from train.answers import answer_tasks, ask
from train.data.feed import heldout_draws, micro_batches_of
from train.data.prefetch import Prefetch
from train.data.sources import StageData
from train.loop import HeldOut, held_out
from train.metrics import StepMetrics
from train.passes import MICRO_BATCHES_AHEAD, Passes, beside_of
from train.stage_run import StageRun


def measure(run: StageRun, number: int, passes: Passes, metrics: StepMetrics) -> StepMetrics:
    """Measure what is due after a step.

    Args:
        run: The run.
        number: Index of the stage.
        passes: How its samples go through the model.
        metrics: Of the step.

    Returns:
        The same, with what was measured.
    """
    stage, heldout = run.recipe.stages[number], run.data[number].heldout
    if heldout and is_due(metrics.step, stage.eval_every, stage.num_steps):
        found = _held_out(run, number, passes)
        measures = {f"heldout_{name}": value for name, value in found.measures.items()}
        measures = {**(metrics.measures or {}), **measures}
        metrics = replace(metrics, heldout_loss=found.loss, measures=measures or None)
    if stage.ask_every is not None and is_due(metrics.step, stage.ask_every, stage.num_steps):
        tasks = answer_tasks(heldout, limit=stage.eval_samples)
        asked = run.ranks.first(lambda: ask(run.assembled, tasks))
        metrics = replace(metrics, accuracy=asked.accuracy, answers=asked.samples)
    return metrics


def check_questions(recipe: Recipe, data: Sequence[StageData]) -> None:
    """Refuse a stage that asks where there is nothing to ask, before the first one begins.

    Raises:
        RecipeError: Names the stage.
    """
    for stage, each in zip(recipe.stages, data, strict=True):
        if stage.ask_every and not answer_tasks(each.heldout, limit=stage.eval_samples):
            raise RecipeError(
                f"stages.{stage.name}.ask_every: none of its held-out records has meta.answer, "
                "which says what is right; add it, or set ask_every: null"
            )


def is_due(step: int, every: int, steps: int) -> bool:
    """Whether something done `every` so many steps and at the end is due after this step."""
    return step == steps or step % every == 0


def _held_out(run: StageRun, number: int, passes: Passes) -> HeldOut:
    """The mean loss of the held-out records, and what else the objective reports of them."""
    stage, sources = run.recipe.stages[number], run.data[number].heldout
    draws = heldout_draws([len(source.records) for source in sources], stage.eval_samples)
    if run.ranks.is_sharded:  # all ranks run as many passes
        draws = draws[: len(draws) // run.ranks.size * run.ranks.size]
    micro_batches = micro_batches_of(
        run.ranks.own(draws),
        sources,
        run.assembled.processor,
        passes.layout,
        size=passes.size,
        threads=run.recipe.decode_workers,
        beside=beside_of(run, number),
    )
    model, apply = run.assembled.model, passes.halving.map
    with Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD) as feed:
        return held_out(model, feed, objective=passes.objective, apply=apply, ranks=run.ranks)
