"""One stage of a run: its optimiser and schedule, when it saves, and the weights it ends with.

Does not compute a step (see `train.loop`) and does not order stages (see `train.run`).
"""

import time
from collections.abc import Iterator
from itertools import islice

import torch

from anymal.recipe.reinforce import ReinforceRecipe
from anymal.recipe.schema import StageRecipe
from anymal.recipe.trains import need_media, rules_of
from train.best import Best, best_after, is_over
from train.checkpoint import Checkpoint, save_checkpoint
from train.data.feed import micro_batches_per_batch
from train.data.layout import MicroBatch
from train.first_steps import FirstSteps
from train.loop import optimise
from train.measure import is_due, measure
from train.metrics import StepMetrics, memory_used, said
from train.optimiser import (
    build_optimiser,
    load_optimiser_state,
    optimiser_state,
    rate_factor,
    set_rate,
)
from train.passes import Passes, passes_of, training_feed
from train.random_state import random_state, seed_torch, set_random_state
from train.reference import with_reference
from train.reinforce.rollouts import Rollouts
from train.stage_run import StageRun


def train_stage(run: StageRun, number: int, checkpoint: Checkpoint | None) -> int:
    """Run one stage to its end, and leave the model with the weights that it keeps.

    Args:
        run: The run; its model holds the weights of the stage before.
        number: Index of the stage in the recipe.
        checkpoint: Where this stage stopped, or None to begin it.

    Returns:
        Optimiser steps that were done.

    Raises:
        RecipeError: The language model cannot run as the stage asks.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
        TrainingError: A loss or gradient is not finite, or the first steps train nothing.
        DataError: A source or record cannot be used.
    """
    stage, model = run.recipe.stages[number], run.assembled.model
    _set_trainable(run, stage)
    passes, rollouts = passes_of(run, stage), None
    if isinstance(stage.objective, ReinforceRecipe):
        before = None if checkpoint is None else checkpoint.began_with
        rollouts = Rollouts(run, number, passes, began_with=before)
        began_with: str | None = rollouts.began_with
    else:
        passes, began_with = _with_reference(run, number, passes, checkpoint)
    optimiser = build_optimiser(model, stage, rules_of(stage, run.recipe.model))
    done, best = 0, None
    if checkpoint is not None:
        done, best = checkpoint.step, checkpoint.best
        load_optimiser_state(optimiser, model, checkpoint.optimiser)
        set_random_state(checkpoint.random)
    run.progress.skip_to(run.steps_before(number) + done)
    first_steps = _first_steps(run, stage) if done == 0 else None
    model.train()
    own = rollouts.starting_at(done) if rollouts else training_feed(run, number, passes, done)
    with own as feed:
        while done < stage.num_steps and not is_over(best, stage):
            watched = feed if first_steps is None else first_steps.see(feed)
            metrics = _step(run, stage, optimiser, passes, watched, done)
            if first_steps is not None:
                first_steps.check(metrics.step, metrics.grad_norm)
            metrics = measure(run, number, passes, metrics)
            if rollouts is not None:
                metrics = rollouts.told(metrics)
            best = best_after(best, metrics, stage, model.trainable_state)
            run.tell(number, metrics)
            done = metrics.step
            is_stopped = run.is_stopped() and (rollouts is None or rollouts.is_between(done))
            saves = is_over(best, stage) or is_due(done, stage.save_every, stage.num_steps)
            if is_stopped or saves:
                _save(run, number, done, optimiser, best, began_with)
            if is_stopped:
                run.draw_curve()
                run.interrupt(stage.name, done)
    _keep(run, stage, done, best)
    return done


def _with_reference(
    run: StageRun, number: int, passes: Passes, checkpoint: Checkpoint | None
) -> tuple[Passes, str | None]:
    """As `with_reference`; the first rank computes the scores, and the others read its file."""
    began_with = None if checkpoint is None else checkpoint.began_with
    with run.ranks.together():
        if run.ranks.is_first:
            passes, began_with = with_reference(run, number, passes, began_with=began_with)
    began_with = run.ranks.gather(began_with)[0]
    if not run.ranks.is_first and began_with is not None:
        return with_reference(run, number, passes, began_with=began_with)
    return passes, began_with


def _set_trainable(run: StageRun, stage: StageRecipe) -> None:
    """Choose what trains, and show it."""
    model = run.assembled.model
    parts = model.set_trainable([rule.what for rule in rules_of(stage, run.recipe.model)])
    model.use_checkpointing(stage.checkpointing)
    table = ", ".join(f"{part.part} {part.trainable:,}/{part.total:,}" for part in parts)
    kind = stage.kind or f"{len(stage.trains or ())} rules"
    run.progress.say(f"stage {stage.name} ({kind}, {stage.num_steps} steps); trains: {table}")


def _first_steps(run: StageRun, stage: StageRecipe) -> FirstSteps | None:
    """What watches the beginning of a stage that only media can train."""
    model = run.assembled.model
    if not need_media(rules_of(stage, run.recipe.model)):
        return None
    trained = {
        name.split(".")[1] for name, weight in model.named_parameters() if weight.requires_grad
    }
    names = [name for name in model.aligners if name in trained]
    return FirstSteps(stage=stage.name, steps=stage.num_steps, trains=names)


def _step(
    run: StageRun,
    stage: StageRecipe,
    optimiser: torch.optim.Optimizer,
    passes: Passes,
    feed: Iterator[MicroBatch],
    step: int,
) -> StepMetrics:
    """Take one optimiser step and measure it."""
    began = time.perf_counter()
    factor = rate_factor(
        step,
        steps=stage.num_steps,
        warmup_steps=stage.warmup_steps,
        min_ratio=stage.min_lr_ratio,
    )
    rate, lora_rate = set_rate(optimiser, factor)
    per_batch = micro_batches_per_batch(stage, passes.size, run.ranks)
    window = islice(feed, stage.accumulate * per_batch)
    model, apply = run.assembled.model, passes.halving.map
    if not run.ranks.is_first:  # what is dropped out here depends on the step, and is not saved
        seed_torch(run.recipe.seed, stage.name, step, run.ranks.rank)
    result = optimise(
        model,
        optimiser,
        window,
        clip_norm=stage.clip_norm,
        objective=passes.objective,
        apply=apply,
        ranks=run.ranks,
    )
    return StepMetrics(
        stage=stage.name,
        step=step + 1,
        loss=result.loss,
        lr=rate,
        lora_lr=lora_rate,
        tokens=result.tokens,
        targets=result.targets,
        tokens_per_s=result.tokens / (time.perf_counter() - began),
        grad_norm=result.grad_norm,
        memory=max(run.ranks.gather(memory_used(model.device))),
        measures=result.measures or None,
    )


def _save(
    run: StageRun,
    number: int,
    step: int,
    optimiser: torch.optim.Optimizer,
    best: Best | None,
    began_with: str | None,
) -> None:
    """Save everything that the rest of the run depends on; the first rank does."""
    if run.log is None:
        return
    model = run.assembled.model
    checkpoint = Checkpoint(
        stage=number,
        step=step,
        total_step=run.steps_before(number) + step,
        recipe=run.recipe.model_dump(mode="json"),
        metrics_bytes=run.log.num_bytes,
        weights=model.trainable_state(),
        best=best,
        optimiser=optimiser_state(optimiser, model),
        random=random_state(),
        began_with=began_with,
    )
    save_checkpoint(run.folder.checkpoints, checkpoint)


def _keep(run: StageRun, stage: StageRecipe, done: int, best: Best | None) -> None:
    """Say why a stage ended early, and take the weights that it keeps."""
    if best is None:
        return
    at_best = f"step {best.step}: {said(stage.best_by, best.value)}"
    if done < stage.num_steps:
        run.progress.say(
            f"stage {stage.name} ends after step {done}, because patience is {stage.patience} and "
            f"the best measurement is still that of {at_best}"
        )
    if stage.keep == "best":
        run.assembled.model.load_trainable_state(best.weights)
        run.progress.say(f"stage {stage.name} keeps the weights of {at_best}")
