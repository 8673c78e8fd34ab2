"""One stage of a run: its data, optimiser, schedule, and when to measure and save.

Does not compute a step (see `train.loop`) and does not order stages (see `train.run`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Never

import torch

from anymal.assemble import Assembled
from anymal.bundle.manifest import Manifest
from anymal.errors import RecipeError
from anymal.llm.packable import Unpackable
from anymal.llm.packing import allow_packing
from anymal.recipe.schema import Recipe, StageRecipe
from train.checkpoint import Checkpoint, save_checkpoint
from train.data.feed import (
    Layout,
    MicroBatch,
    heldout_micro_batches,
    micro_batches_per_batch,
    slot_lengths,
    training_micro_batches,
)
from train.data.prefetch import Prefetch
from train.data.sampler import Sampler
from train.data.sources import Source, StageData
from train.first_steps import FirstSteps
from train.interrupt import Interrupted, StopSignals
from train.loop import Objective, answer_loss, heldout_loss, optimise
from train.metrics import MetricsLog, StepMetrics, memory_used, read_metrics
from train.micro_batch import micro_batch_size
from train.optimiser import (
    build_optimiser,
    load_optimiser_state,
    optimiser_state,
    rate_factor,
    set_rate,
)
from train.out_of_memory import Halving
from train.plot import plot_losses
from train.progress import RunProgress
from train.random_state import random_state, set_random_state
from train.run_folder import RunFolder
from train.word_loss import WordLoss

MICRO_BATCHES_AHEAD = 4  # enough to decode media while a step runs; more only takes memory


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """What every stage of one run shares."""

    recipe: Recipe
    data: list[StageData]
    started_from: Manifest | None
    folder: RunFolder
    assembled: Assembled
    log: MetricsLog
    progress: RunProgress
    stop: StopSignals

    def steps_before(self, stage: int) -> int:
        """Return the optimiser steps of all earlier stages."""
        return sum(earlier.steps for earlier in self.recipe.stages[:stage])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passes:
    """How samples go through the model in one stage.

    Attributes:
        layout: How some samples become a batch.
        size: Most samples of one micro-batch.
        halving: Runs micro-batches, with fewer samples where memory runs out.
        objective: The loss to minimise.
    """

    layout: Layout
    size: int
    halving: Halving
    objective: Objective


def train_stage(run: StageRun, number: int, checkpoint: Checkpoint | None) -> None:
    """StageRun one stage to its end.

    Args:
        run: The run; its model holds the weights of the stage before.
        number: Index of the stage in the recipe.
        checkpoint: Where this stage stopped, or None to begin it.

    Raises:
        RecipeError: The language model cannot run as the stage asks.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
        TrainingError: A loss or gradient is not finite, or the first steps train nothing.
        DataError: A source or record cannot be used.
    """
    stage, data, model = run.recipe.stages[number], run.data[number], run.assembled.model
    _set_trainable(run, stage)
    passes = _passes(run, stage)
    optimiser = build_optimiser(model, stage)
    start = 0
    if checkpoint is not None:
        start = checkpoint.step
        load_optimiser_state(optimiser, model, checkpoint.optimiser)
        set_random_state(checkpoint.random)
    first_steps = _first_steps(run, stage) if start == 0 else None
    model.train()
    with _feed(run, number, passes, start) as feed:
        for step in range(start, stage.steps):
            watched = feed if first_steps is None else first_steps.see(feed)
            metrics = _step(run, stage, optimiser, passes, watched, step)
            if first_steps is not None:
                first_steps.check(metrics.step, metrics.grad_norm)
            if data.heldout and _is_due(metrics.step, stage.eval_every, stage.steps):
                metrics = replace(metrics, heldout_loss=_measure(run, stage, passes, data.heldout))
            run.log.write(metrics)
            run.progress.step(metrics)
            if metrics.heldout_loss is not None:
                draw_curve(run)
            is_stopped = run.stop.requested is not None
            if is_stopped or _is_due(metrics.step, stage.save_every, stage.steps):
                _save(run, number, metrics.step, optimiser)
            if is_stopped:
                draw_curve(run)
                interrupt(run, metrics.stage, metrics.step)


def draw_curve(run: StageRun) -> None:
    """Draw the losses of the run so far."""
    plot_losses(read_metrics(run.folder.metrics), run.folder.plot)


def interrupt(run: StageRun, stage: str, step: int) -> Never:
    """End the run after a signal; the checkpoint of that step is there."""
    assert run.stop.requested is not None, "only called after a signal"
    raise Interrupted(
        f"Stopped after step {step} of stage {stage}; a checkpoint is in {run.folder.checkpoints}.",
        exit_code=128 + run.stop.requested,
    )


def _set_trainable(run: StageRun, stage: StageRecipe) -> None:
    """Choose what trains, and show it."""
    model = run.assembled.model
    names = _trained(run, stage)
    parts = model.set_trainable(aligners=names, lora=stage.kind == "instruct")
    model.llm.use_checkpointing(stage.checkpointing)
    table = ", ".join(f"{part.part} {part.trainable:,}/{part.total:,}" for part in parts)
    run.progress.say(f"stage {stage.name} ({stage.kind}, {stage.steps} steps); trains: {table}")


def _trained(run: StageRun, stage: StageRecipe) -> list[str]:
    """The modalities whose aligners train."""
    all_names = list(run.assembled.model.aligners)
    return all_names if stage.modalities is None else stage.modalities


def _first_steps(run: StageRun, stage: StageRecipe) -> FirstSteps | None:
    """What watches the beginning of a stage that only media can train."""
    if stage.kind != "align":
        return None
    return FirstSteps(stage=stage.name, steps=stage.steps, trains=_trained(run, stage))


def _passes(run: StageRun, stage: StageRecipe) -> _Passes:
    """Decide how samples go through the model."""
    llm, device = run.assembled.model.llm, run.assembled.model.device
    # Only objective `answer` runs the layers, so only there a prefix can be computed once.
    is_packable = stage.objective == "answer" and (stage.packing or stage.kind == "align")
    if is_packable:
        try:
            allow_packing(llm)
        except Unpackable as error:
            if stage.packing:
                raise RecipeError(
                    f"stages.{stage.name}.packing: the language model cannot "
                    f"run packed: {error}; set packing: false"
                ) from error
            is_packable = False
            run.progress.say(
                f"stage {stage.name}: the prefix that all samples share is computed for each "
                f"sample, not once: {error}"
            )
    layout = Layout(
        pad_id=run.assembled.processor.pad_id,
        is_packed=stage.packing,
        splits_prefix=is_packable and stage.kind == "align",
        pins_memory=device.type == "cuda",
    )
    size = micro_batch_size(run.recipe, stage)
    key = f"stages.{stage.name}.micro_batch"
    if stage.micro_batch == "auto":
        run.progress.say(f"{key}: {size} of {stage.batch_size} samples in one pass")
    return _Passes(
        layout=layout,
        size=size,
        halving=Halving(size, key=key, say=run.progress.say),
        objective=answer_loss if stage.objective == "answer" else WordLoss(run.assembled.model),
    )


def _feed(run: StageRun, number: int, passes: _Passes, start: int) -> Prefetch[MicroBatch]:
    """Start producing micro-batches, from one optimiser step on."""
    stage, sources = run.recipe.stages[number], run.data[number].training
    sampler = Sampler(
        seed=run.recipe.seed,
        stage=number,
        sizes=[len(source.records) for source in sources],
        weights=[source.weight for source in sources],
    )
    micro_batches = training_micro_batches(
        stage,
        sources,
        sampler,
        run.assembled.processor,
        slot_lengths(run.assembled.processor),
        passes.layout,
        size=passes.size,
        start=start * stage.accumulate,
        threads=run.recipe.decode_workers,
    )
    return Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD)


def _step(
    run: StageRun,
    stage: StageRecipe,
    optimiser: torch.optim.Optimizer,
    passes: _Passes,
    feed: Iterator[MicroBatch],
    step: int,
) -> StepMetrics:
    """Take one optimiser step and measure it."""
    began = time.perf_counter()
    factor = rate_factor(
        step,
        steps=stage.steps,
        warmup_steps=stage.warmup_steps,
        min_ratio=stage.min_lr_ratio,
    )
    rate = set_rate(optimiser, factor)
    window = islice(feed, stage.accumulate * micro_batches_per_batch(stage, passes.size))
    model, apply = run.assembled.model, passes.halving.map
    result = optimise(
        model, optimiser, window, clip_norm=stage.clip_norm, objective=passes.objective, apply=apply
    )
    return StepMetrics(
        stage=stage.name,
        step=step + 1,
        loss=result.loss,
        lr=rate,
        tokens=result.tokens,
        targets=result.targets,
        tokens_per_s=result.tokens / (time.perf_counter() - began),
        grad_norm=result.grad_norm,
        memory=memory_used(model.device),
    )


def _measure(run: StageRun, stage: StageRecipe, passes: _Passes, heldout: list[Source]) -> float:
    """Measure the held-out loss."""
    micro_batches = heldout_micro_batches(
        stage,
        heldout,
        run.assembled.processor,
        passes.layout,
        size=passes.size,
        threads=run.recipe.decode_workers,
    )
    model, apply = run.assembled.model, passes.halving.map
    with Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD) as feed:
        return heldout_loss(model, feed, objective=passes.objective, apply=apply)


def _save(run: StageRun, number: int, step: int, optimiser: torch.optim.Optimizer) -> None:
    """Save everything that the rest of the run depends on."""
    model = run.assembled.model
    checkpoint = Checkpoint(
        stage=number,
        step=step,
        total_step=run.steps_before(number) + step,
        recipe=run.recipe.model_dump(mode="json"),
        metrics_bytes=run.log.num_bytes,
        weights=model.trainable_state(),
        optimiser=optimiser_state(optimiser, model),
        random=random_state(),
    )
    save_checkpoint(run.folder.checkpoints, checkpoint)


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether something done `every` so many steps and at the end is due after this step."""
    return step == steps or step % every == 0
