"""A whole run: stage after stage, from a recipe to bundles, a curve and held-out answers.

Does not know how a stage trains (see `train.stage`) or what is in a bundle (see `anymal.bundle`).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from anymal.assemble import Assembled, build
from anymal.bundle.extend import extended
from anymal.bundle.manifest import Manifest, bundle_folder, read_manifest
from anymal.bundle.save import save_bundle
from anymal.bundle.start import take_over
from anymal.bundle.tuned import names_of_tuned, tuned_encoders
from anymal.cli.console import plain_console
from anymal.decoding.choice import decoder
from anymal.errors import RecipeError
from anymal.evaluation.report import table
from anymal.evaluation.results import Results
from anymal.model import AnyMAL
from anymal.recipe.schema import Recipe
from anymal.recipe.trains import encoders_that_train, rules_of
from train.answers import answer_tasks, measure_answers
from train.checkpoint import Checkpoint, latest_checkpoint
from train.data.check import check_rows
from train.data.commercial import refuse_non_commercial
from train.data.sources import StageData, open_data
from train.device import device_of
from train.epochs import in_numbers
from train.interrupt import StopSignals
from train.measure import check_questions
from train.metrics import MetricsLog
from train.micro_batch import refuse_what_cannot_fit
from train.progress import RunProgress
from train.provenance import data_facts, stage_facts
from train.random_state import seed_everything
from train.ranks.check import check_agreement, check_ranks
from train.ranks.group import Ranks, joined
from train.ranks.shard import shard
from train.run_folder import RunFolder, check_same_recipe, check_stage_names
from train.stage import train_stage
from train.stage_run import StageRun
from train.trackers import Trackers, check_trackers


def run(
    recipe: Recipe,
    *,
    resume: bool,
    console: Console,
    checks_rows: bool = True,
    is_commercial: bool = False,
) -> Path:
    """Train every stage of a recipe.

    Args:
        recipe: The resolved recipe.
        resume: Continue from the newest checkpoint in `run_dir`.
        console: Where progress and results are shown.
        checks_rows: Whether every row is decoded once before the first step.
        is_commercial: Refuse data whose licence is unknown or does not allow commercial use.

    Returns:
        The folder of the final bundle.

    Raises:
        RecipeError: It cannot fit into memory, leaves out rows that nobody checks, or is to be
            commercial and uses data that may not be.
        DataError: A source or record cannot be used.
        TrainingError: The run cannot start, continue or finish.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
    """
    with joined(is_sharded=recipe.shard) as ranks:
        return _run(
            recipe,
            resume=resume,
            console=console if ranks.is_first else plain_console(quiet=True),
            checks_rows=checks_rows,
            is_commercial=is_commercial,
            ranks=ranks,
        )


def _run(
    recipe: Recipe,
    *,
    resume: bool,
    console: Console,
    checks_rows: bool,
    is_commercial: bool,
    ranks: Ranks,
) -> Path:
    """The part of one rank."""
    recipe = extended(recipe)
    _check(recipe, ranks, checks_rows=checks_rows, console=console)
    folder = RunFolder(Path(recipe.run_dir))
    with ranks.together():
        if ranks.is_first:
            folder.claim(resume=resume)
    checkpoint = latest_checkpoint(folder.checkpoints) if resume else None
    data = open_data(recipe)
    recipe = in_numbers(recipe, data)
    check_agreement(recipe, data, checkpoint, ranks)
    if checkpoint is not None:
        check_same_recipe(recipe, checkpoint.recipe)
    started_from = _started_from(recipe.model.start_from, data, is_commercial=is_commercial)
    assembled = _assemble(recipe, checkpoint)
    with decoder(recipe.decode_workers) as decode:
        assembled = replace(assembled, processor=assembled.processor.decoding_by(decode))
        if checks_rows:
            data = check_rows(
                data, assembled.processor, max_bad=recipe.max_bad, console=console, ranks=ranks
            )
        check_questions(recipe, data)
        if recipe.shard:
            shard(assembled.model.llm, ranks)
        with ExitStack() as stack:
            log = trackers = None
            if ranks.is_first:
                folder.write_recipe(recipe)
                keep_bytes = checkpoint.metrics_bytes if checkpoint else 0
                log = stack.enter_context(MetricsLog(folder.metrics, keep_bytes=keep_bytes))
                step = checkpoint.total_step + 1 if checkpoint else 1
                trackers = stack.enter_context(Trackers(recipe, folder, step=step))
            total_steps = sum(stage.num_steps for stage in recipe.stages)
            progress = stack.enter_context(RunProgress(console, total_steps=total_steps))
            stop = stack.enter_context(StopSignals())
            this = StageRun(
                recipe=recipe,
                data=data,
                started_from=started_from,
                folder=folder,
                assembled=assembled,
                log=log,
                trackers=trackers,
                progress=progress,
                stop=stop,
                ranks=ranks,
            )
            if resume:
                _say_where(this, checkpoint)
            done = _train_stages(this, checkpoint)
            if this.is_stopped():  # since the last step
                this.interrupt(recipe.stages[-1].name, done)
        return _finish(this, console)


def _check(recipe: Recipe, ranks: Ranks, *, checks_rows: bool, console: Console) -> None:
    """Refuse what can be refused before anything is opened."""
    check_stage_names(recipe)
    check_ranks(recipe, ranks)
    if recipe.max_bad and not checks_rows:
        raise RecipeError(
            f"max_bad is {recipe.max_bad}, but rows are only left out by the check; "
            "run without --no-check, or set max_bad=0"
        )
    refuse_what_cannot_fit(recipe, say=console.print)
    check_trackers(recipe.report)


def _started_from(
    start: str | None, data: Sequence[StageData], *, is_commercial: bool
) -> Manifest | None:
    """What the bundle to start from says of itself, read now: it may be gone at the end."""
    if is_commercial:
        refuse_non_commercial(data)  # even where that bundle is not there yet
    if start is None:
        return None
    manifest = read_manifest(bundle_folder(start))
    if is_commercial:
        refuse_non_commercial(data, manifest.data_sources)
    return manifest


def _assemble(recipe: Recipe, checkpoint: Checkpoint | None) -> Assembled:
    """The model with the weights that the run begins or continues with."""
    start = recipe.model.start_from
    seed_everything(recipe.seed)  # the first weights of the aligners depend on it
    assembled = build(
        recipe.model,
        device=device_of(recipe),
        features=recipe.features,
        trained_encoders=encoders_that_train(recipe) | _trained_before(start),
    )
    if start is not None:
        take_over(bundle_folder(start), assembled, where="start_from")
    if checkpoint is not None:
        _take_back(assembled.model, recipe, checkpoint)
    return assembled


def _trained_before(start: str | None) -> set[str]:
    """The modalities whose encoders trained in the bundle that a run starts from."""
    return set() if start is None else tuned_encoders(names_of_tuned(bundle_folder(start)))


def _take_back(model: AnyMAL, recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Give a model the weights of a checkpoint, which has all that its stages let train."""
    for stage in recipe.stages[: checkpoint.stage + 1]:
        model.set_trainable([rule.what for rule in rules_of(stage, recipe.model)])
    model.load_trainable_state(checkpoint.weights)


def _say_where(run: StageRun, checkpoint: Checkpoint | None) -> None:
    """Show where the run continues."""
    if checkpoint is None:
        run.progress.say(f"no checkpoint in {run.folder.path} yet; starting from the beginning")
        return
    stage = run.recipe.stages[checkpoint.stage]
    run.progress.say(f"resuming after step {checkpoint.step} of stage {stage.name}")


def _train_stages(run: StageRun, checkpoint: Checkpoint | None) -> int:
    """Train the stages that are left, each from the weights of the one before.

    Returns:
        Steps of the last one.
    """
    done = 0
    first = 0 if checkpoint is None else checkpoint.stage
    for number in range(first, len(run.recipe.stages)):
        done = train_stage(run, number, checkpoint if number == first else None)
        run.draw_curve()
        stage = run.recipe.stages[number]
        _save_bundle(run, run.folder.stage_bundle(stage.name), number, results=None)
    return done


def _finish(run: StageRun, console: Console) -> Path:
    """Ask the held-out questions and save the final bundle with the results."""
    results = None
    tasks = answer_tasks(run.data[-1].heldout, limit=run.recipe.stages[-1].eval_samples)
    if tasks and run.ranks.is_sharded:
        console.print("held-out questions are not asked of a sharded model; use anymal eval")
    elif tasks and run.ranks.is_first:
        count = sum(len(task.records) for task in tasks)
        console.print(f"asking {count} held-out questions, with the true and with a blank medium")
        name = f"{run.folder.path.name}/{run.folder.bundle.name}"
        results = measure_answers(run.assembled, tasks, name=name)
        results.write(run.folder.results)
        console.print(table(results))
    _save_bundle(run, run.folder.bundle, len(run.recipe.stages) - 1, results=results)
    for what, path in (("bundle", run.folder.bundle), ("loss curve", run.folder.plot)):
        console.print(f"{what}: {path}")
    return run.folder.bundle


def _save_bundle(run: StageRun, path: Path, number: int, *, results: Results | None) -> None:
    """Save the model as it is after a stage; the first rank does."""
    if not run.ranks.is_first:
        return
    save_bundle(
        run.assembled,
        path,
        stages=stage_facts(run, number),
        data_sources=data_facts(run, number),
        results=results,
    )
