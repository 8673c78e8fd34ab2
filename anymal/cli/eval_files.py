"""What `anymal eval` prints and writes, once the figures are there.

Does not measure or lay out; each kind of file has a module in `anymal.evaluation`.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anymal.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from anymal.evaluation.html.examples import Examples
    from anymal.evaluation.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What to write.

    Attributes:
        figures: JSON file of the figures; the page, the chart and the answers are beside it.
        answers: JSONL file of every answer.
        card: Markdown file of the built-in model's card; its chart is beside it.
    """

    figures: Path | None
    answers: Path | None
    card: Path | None


def choose_files(out: Path | None, answers: Path | None, card: Path | None) -> Files:
    """From options to files.

    Args:
        out: A JSON file, or a folder for `report.json`.
        answers: None puts answers beside the figures.
        card: As given.
    """
    from anymal.evaluation.results import REPORT

    figures = out if out is None or out.suffix == ".json" else out / REPORT
    if answers is None and figures is not None:
        answers = figures.with_suffix(".jsonl")
    return Files(figures=figures, answers=answers, card=card)


def check_resumable(files: Files) -> None:
    """Refuse to go on with answers that nobody wrote.

    Raises:
        DataError: No file of answers was named.
    """
    if files.answers is None:
        raise DataError("--resume goes on with a file of answers; give --out or --answers too")


def write_files(
    results: "Results", console: "Console", files: Files, *, examples: "Examples | None"
) -> None:
    """Print the table and write the files that were asked for.

    Args:
        results: The figures.
        console: Where to print.
        files: What to write.
        examples: The worst answers, for the page; None where the figures were read from a file.
    """
    from anymal.evaluation.chart import draw_chart
    from anymal.evaluation.html.page import write_page

    _print(results, console)
    written = []
    if files.figures is not None:
        results.write(files.figures)
        page = files.figures.with_suffix(".html")
        write_page(results, page, examples=examples.by_task if examples else None)
        written += [files.figures, page]
    if files.card is not None:
        from anymal.bundle.load import describe
        from anymal.evaluation.card import write_card

        write_card(results, describe(results.bundle).data_sources, files.card)
        written.append(files.card)
    charted = [path for path in (files.figures, files.card) if path is not None]
    for chart in dict.fromkeys(path.with_suffix(".png") for path in charted):
        draw_chart(results, chart)
        written.append(chart)
    if files.answers is not None and files.answers.exists() and examples is not None:
        written.append(files.answers)
    for path in written:
        console.print(f"wrote {path}")


def _print(results: "Results", console: "Console") -> None:
    """Print the table, and what it has no room for."""
    from anymal.evaluation.report import metric_lines, perturbed_lines, table

    if results.compared_with:
        console.print(f"other: {results.compared_with}")
    console.print(table(results))
    for line in (*metric_lines(results), *perturbed_lines(results)):
        console.print(line, highlight=False)
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in results.skipped.items():
        by_reason[reason].append(name)
    for reason, names in by_reason.items():
        console.print(f"skipped {', '.join(names)}: {reason}", style="yellow")
