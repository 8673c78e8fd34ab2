"""The command `anymal eval`: ask a bundle known questions, print the table, write the files.

Does not measure or lay out; it wires the suite, the runner and the reports together.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from anymal.cli.bundle_options import ANY_FOLDER, HubOption, LocalModelsOption, PrecisionOption

if TYPE_CHECKING:
    from rich.console import Console

    from anymal.evaluation.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What to evaluate, and how; see the help of each option below."""

    bundle: str
    suites: list[str]
    tasks: list[str]
    data: Path | None
    limit: int | None
    has_controls: bool
    other: str | None
    batch_size: int
    device: str
    precision: str | None
    allow_hub: bool
    local_models: Path


def eval_command(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or 'tiny': the built-in model.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="'tiny' (default), or a JSONL manifest with meta.answer; repeatable."),
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; repeatable.")] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="ANYMAL_DATA", help="Folder of the recorded data.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most records of each task.")] = None,
    controls: Annotated[bool, typer.Option(help="Also ask with blank and swapped media.")] = True,
    compare: Annotated[
        str | None, typer.Option(help="Another bundle to put the same questions to.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at a time.")] = 16,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: PrecisionOption = None,
    allow_hub: HubOption = False,
    local_models: LocalModelsOption = ANY_FOLDER,
    out: Annotated[
        Path | None, typer.Option(help="Write the figures as JSON, and as PNG beside it.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Write every question and answer as JSONL.")
    ] = None,
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
    from anymal.evaluation.results import Results

    console = plain_console()
    if not console.is_terminal:
        # A pipe has no width; the default of 80 would cut columns of a comparison.
        console.width = 120
    choices = Choices(
        bundle=bundle,
        suites=suite or ["tiny"],
        tasks=task or [],
        data=data,
        limit=limit,
        has_controls=controls,
        other=compare,
        batch_size=batch_size,
        device=device,
        precision=precision,
        allow_hub=allow_hub,
        local_models=local_models,
    )
    if reuse is not None:
        results = Results.read(reuse)
    else:
        with _log(answers) as log:
            results = _evaluate(choices, console, log)
    _report(results, console, out=out, card=card)


def _evaluate(
    choices: Choices, console: "Console", log: Callable[[Mapping[str, Any]], None] | None
) -> "Results":
    """Load the bundles and the suite, and measure."""
    import torch
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from anymal.assemble import Assembled
    from anymal.bundle.parts import Reach
    from anymal.evaluation.answers import start_batch_assistant
    from anymal.evaluation.runner import CONTROLS, evaluate
    from anymal.evaluation.suites import load_suites, select, without_refusals
    from anymal.serving.assistant import Assistant
    from anymal.serving.precision import load_to_answer

    suite = select(
        load_suites(choices.suites, data=choices.data, size=choices.limit), choices.tasks
    )

    # The engine and the encoders compute at the same time, each with this many threads. More
    # threads than cores wait for each other instead of computing.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))

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
        if any(assembled.processor.needs_media for assembled in loaded.values()):
            suite = without_refusals(suite)
        assistants = {
            name: opened.enter_context(start(assembled, name)) for name, assembled in loaded.items()
        }
        results = evaluate(
            assistants[choices.bundle],
            suite.tasks,
            controls=CONTROLS if choices.has_controls else (),
            batch_size=choices.batch_size,
            limit=choices.limit,
            other=assistants[choices.other] if choices.other else None,
            bundle=choices.bundle,
            progress=lambda label, done, of: bars.update(
                bar, description=label, completed=done, total=of
            ),
            log=log,
        )
    own = {"device": choices.device, "precision": choices.precision or "as served"}
    return results.model_copy(
        update={
            "compared_with": choices.other,
            "skipped": dict(suite.skipped),
            "settings": {**results.settings, **own},
        }
    )


def _report(results: "Results", console: "Console", *, out: Path | None, card: Path | None) -> None:
    """Print the table and write the files that were asked for."""
    from anymal.evaluation.chart import draw_chart
    from anymal.evaluation.report import table

    if results.compared_with:
        console.print(f"other: {results.compared_with}")
    console.print(table(results))
    for name, reason in results.skipped.items():
        console.print(f"skipped {name}: {reason}", style="yellow")
    written = []
    if out is not None:
        results.write(out)
        written.append(out)
    if card is not None:
        from anymal.bundle.load import describe
        from anymal.evaluation.card import write_card

        write_card(results, describe(results.bundle).data_sources, card)
        written.append(card)
    for chart in dict.fromkeys(path.with_suffix(".png") for path in written):
        draw_chart(results, chart)
        written.append(chart)
    for path in written:
        console.print(f"wrote {path}")


@contextmanager
def _log(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None] | None]:
    """A callback that writes answers as JSON lines; None without a path."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yield lambda answer: _write_line(file, answer)


def _write_line(file: TextIO, answer: Mapping[str, Any]) -> None:
    """Write one answer as a line of JSON."""
    file.write(json.dumps(answer) + "\n")
