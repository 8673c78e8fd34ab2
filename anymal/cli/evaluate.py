"""The command `anymal eval`: ask a bundle known questions, print the table, write the files.

Does not measure or lay out; it wires the suite, the runner and the reports together.
"""

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anymal.cli.bundle_options import ANY_FOLDER, HubOption, LocalModelsOption, PrecisionOption
from anymal.cli.eval_files import check_resumable, choose_files, write_files

if TYPE_CHECKING:
    from rich.console import Console

    from anymal.evaluation.answer_log import AnswerLog
    from anymal.evaluation.html.examples import Examples
    from anymal.evaluation.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What to evaluate, and how; see the help of each option below."""

    bundle: str
    suites: list[str]
    tasks: list[str]
    data: Path | None
    java: bool
    limit: int | None
    has_controls: bool
    perturb: list[str]
    answer_by: str | None
    other: str | None
    batch_size: int
    max_tokens: int
    threads: int
    device: str
    precision: str | None
    allow_hub: bool
    local_models: Path


def eval_command(
    bundle: Annotated[
        str, typer.Argument(help="Bundle folder, ORG/NAME[@REV] of the Hub, or 'tiny'.")
    ] = "tiny",
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="'tiny' (default), 'mixed2', a public benchmark such as 'coco' or 'vqav2', a "
            "JSONL manifest with meta.answer, or a recipe with held-out records; repeatable."
        ),
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; repeatable.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="ANYMAL_DATA", help="Folder of the recorded data, or of the benchmark's files."
        ),
    ] = None,
    java: Annotated[
        bool, typer.Option("--java", help="Measure captions also by METEOR, on Stanford's tokens.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Most records of each task.")] = None,
    controls: Annotated[
        bool,
        typer.Option(help="Also ask with blank, swapped and wrong media, and with one left out."),
    ] = True,
    perturb: Annotated[
        str, typer.Option(help="Also ask about changed media: blur,crop,noise,shift or some.")
    ] = "",
    answer_by: Annotated[
        str | None,
        typer.Option(
            help="How a choice is asked for: text, letter, likelihood or likelihood-per-token; by "
            "default text, and likelihood where a metric needs it.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Another bundle to put the same questions to.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at a time.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 48,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads of the language model, and of the encoders beside it; by default half of "
            "the processors that this command may use.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: PrecisionOption = None,
    allow_hub: HubOption = False,
    local_models: LocalModelsOption = ANY_FOLDER,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the figures as JSON, and beside it a page (HTML), a chart (PNG) and every "
            "answer (JSONL); a folder gets report.json and so on."
        ),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Write every question and answer to this JSONL instead.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after a stop: ask only what has no answer yet.")
    ] = False,
    card: Annotated[
        Path | None, typer.Option(help="Write the built-in model's card, and a PNG beside it.")
    ] = None,
    reuse: Annotated[
        Path | None, typer.Option(help="Take the figures from this JSON; evaluate nothing.")
    ] = None,
) -> None:
    """Measure how often a bundle's answers are right, and whether it looks and listens at all."""
    # torch and transformers take seconds to import; `anymal --help` must not.
    from anymal.cli.console import plain_console
    from anymal.evaluation.answer_log import AnswerLog
    from anymal.evaluation.results import Results

    console = plain_console()
    if not console.is_terminal:
        # A pipe has no width; the default of 80 would cut columns of a comparison.
        console.width = 120
    files = choose_files(out, answers, card)
    if reuse is not None:
        write_files(Results.read(reuse), console, files, examples=None)
        return
    if resume:
        check_resumable(files)
    choices = Choices(
        bundle=bundle,
        suites=suite or ["tiny"],
        tasks=task or [],
        data=data,
        java=java,
        limit=limit,
        has_controls=controls,
        perturb=[name.strip() for name in perturb.split(",") if name.strip()],
        answer_by=answer_by,
        other=compare,
        batch_size=batch_size,
        max_tokens=max_tokens,
        # The engine and the encoders compute at the same time, each with this many threads. More
        # threads than processors wait for each other instead of computing.
        threads=threads or max(1, _num_processors() // 2),
        device=device,
        precision=precision,
        allow_hub=allow_hub,
        local_models=local_models,
    )
    with closing(AnswerLog(files.answers, resume=resume)) as log:
        results, examples = _evaluate(choices, console, log)
    write_files(results, console, files, examples=examples)


def _num_processors() -> int:
    """How many processors this process may use, where the system tells it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _evaluate(choices: Choices, console: "Console", log: "AnswerLog") -> "tuple[Results, Examples]":
    """Load the bundles and the suite, and measure."""
    import torch
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from anymal.assemble import Assembled
    from anymal.bundle.digest import bundle_digest
    from anymal.bundle.parts import Reach
    from anymal.evaluation.answers import start_batch_assistant
    from anymal.evaluation.html.examples import Examples
    from anymal.evaluation.questions import CONTROLS, check_known
    from anymal.evaluation.runner import evaluate
    from anymal.evaluation.suites import load_suites, select, without_refusals
    from anymal.evaluation.versions import versions
    from anymal.evaluation.ways import check_way
    from anymal.serving.assistant import Assistant
    from anymal.serving.precision import load_to_answer

    controls = CONTROLS if choices.has_controls else ()
    perturbations = check_known(controls, choices.perturb)
    way = check_way(choices.answer_by)
    suite = select(
        load_suites(choices.suites, data=choices.data, size=choices.limit, java=choices.java),
        choices.tasks,
    )

    torch.set_num_threads(choices.threads)
    reach = Reach(allow_hub=choices.allow_hub, local_models=choices.local_models)

    def load(name: str) -> Assembled:
        return load_to_answer(name, precision=choices.precision, device=choices.device, reach=reach)

    def start(assembled: Assembled, name: str) -> Assistant:
        return start_batch_assistant(assembled, name=name, batch_size=choices.batch_size)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars, ExitStack() as opened:
        bar = bars.add_task("loading", total=None)
        # Both are loaded before an engine takes most of what is left of a GPU's memory.
        loaded = {name: load(name) for name in (choices.bundle, choices.other) if name}
        how = {"device": choices.device, "precision": choices.precision or "as served"}
        digests = {name: bundle_digest(name) for name in loaded}
        identities = {name: f"{digest} {how}" for name, digest in digests.items()}
        if any(assembled.processor.needs_media for assembled in loaded.values()):
            suite = without_refusals(suite)
        assistants = {
            name: opened.enter_context(start(assembled, name)) for name, assembled in loaded.items()
        }
        examples = Examples(loaded[choices.bundle].processor)
        results = evaluate(
            assistants[choices.bundle],
            suite.tasks,
            controls=controls,
            perturbations=perturbations,
            way=way,
            batch_size=choices.batch_size,
            max_tokens=choices.max_tokens,
            limit=choices.limit,
            other=assistants[choices.other] if choices.other else None,
            bundle=choices.bundle,
            identities=(identities[choices.bundle], identities.get(choices.other or "", "")),
            progress=lambda label, done, of: bars.update(
                bar, description=label, completed=done, total=of
            ),
            log=log,
            watch=examples.watch,
        )
    facts = {
        "digest": digests[choices.bundle],
        "versions": versions(),
        "compared_with": choices.other,
        "skipped": dict(suite.skipped),
        "settings": {
            **results.settings,
            **how,
            "threads": choices.threads,
            "suites": choices.suites,
        },
    }
    return results.model_copy(update=facts), examples
