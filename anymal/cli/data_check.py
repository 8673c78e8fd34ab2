"""The command `anymal data check`: every problem of a data set, and what to change.

Does not check; `anymal.data.checks` does.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from anymal.cli.console import plain_console
from anymal.cli.counted import counted
from anymal.cli.data_sets import (
    Chosen,
    ColumnOption,
    DataArgument,
    FormatOption,
    LicenceOption,
    MediaOption,
    OverridesArgument,
    PromptOption,
    SplitOption,
    choose,
)
from anymal.cli.row_bar import RowBar
from anymal.data.checks.histogram import bars, bins_of
from anymal.data.checks.mistake import KINDS, Problem
from anymal.data.checks.run import Counts, find_problems
from anymal.errors import DataError
from anymal.recipe.licences import UNKNOWN

_UNITS = {"image": "pixels of the longer side", "video": "seconds", "audio": "seconds"}


def check(
    data: DataArgument,
    overrides: OverridesArgument = None,
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    prompt: PromptOption = None,
    licence: LicenceOption = UNKNOWN,
    allow: Annotated[
        list[str] | None,
        typer.Option(help=f"Kind of problem that is none here; repeatable. {', '.join(KINDS)}."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find every problem in a data file, or in those of a recipe; exits with 1 if there is one.

    A recipe also counts the tokens of each row; its Python sources are not read.
    """
    allowed = set(allow or [])
    if unknown := allowed - set(KINDS):
        raise DataError(f"--allow {', '.join(sorted(unknown))}: known are {', '.join(KINDS)}")
    chosen = choose(
        data,
        overrides,
        format=format,
        media=media,
        split=split,
        columns=column,
        prompt=prompt,
        licence=licence,
    )
    counts = Counts()
    problems = []
    console = plain_console()
    # One console where both are on a terminal, so that lines and the bar do not mix.
    beside = console if console.is_terminal else plain_console(stderr=True)
    with _without_mended_media():
        for problem in _problems(chosen, counts, beside):
            if problem.mistake.kind in allowed:
                continue
            problems.append(problem)
            if not as_json:
                mistake = problem.mistake
                told = f"{mistake.kind}: {mistake.reason}; {mistake.change}"
                console.print(f"{problem.where}: {told}")
    num_rows = sum(len(one.rows) for one in chosen.sets)
    if as_json:
        _print_json(problems, counts, num_rows)
    else:
        _summarise(problems, counts, num_rows, console)
    if problems:
        raise typer.Exit(1)


def _problems(chosen: Chosen, counts: Counts, console: Console) -> Iterator[Problem]:
    """The problems of all data sets, behind a bar."""
    model = chosen.model()
    with RowBar(console, "checking rows", sum(len(one.rows) for one in chosen.sets)) as bar:
        for one in chosen.sets:
            yield from find_problems(
                one.rows, one.name, counts, model=model, numbers=one.numbers, done=bar.step
            )


def _summarise(
    problems: Sequence[Problem], counts: Counts, num_rows: int, console: Console
) -> None:
    """Print histograms, and how many problems there are of each kind."""
    for title, lines in _histograms(counts):
        console.print(f"\n{title}")
        for line in lines:
            console.print(f"  {line}")
    console.print(f"\n{counted(num_rows, 'row')}, {counted(len(problems), 'problem')}")
    for kind, number in Counter(problem.mistake.kind for problem in problems).most_common():
        console.print(f"  {number:,} {kind}: {KINDS[kind]}")


def _histograms(counts: Counts) -> Iterator[tuple[str, Iterator[str]]]:
    """Titles and bars of what was counted."""
    for title, values in (
        ("tokens of a row", counts.tokens),
        ("words of a row", counts.words),
    ):
        if values:
            yield title, bars(bins_of(values))
    for modality, numbers in counts.media.items():
        yield f"{modality}: media of a row", bars(bins_of(numbers))
        unit = _UNITS.get(modality, "seconds")
        yield f"{modality}: {unit}", bars(bins_of(counts.sizes[modality]))


@contextmanager
def _without_mended_media() -> Iterator[None]:
    """Hide what decoders log of damage that they repair: it would bury the real mistakes."""
    logger = logging.getLogger("anymal.media")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _print_json(problems: Sequence[Problem], counts: Counts, num_rows: int) -> None:
    """Print everything as one object."""
    import json
    from dataclasses import asdict

    def histogram(values: Counter[float]) -> list[dict[str, float]]:
        return [asdict(each) for each in bins_of(values)]

    found = {
        "rows": num_rows,
        "problems": [{"where": problem.where, **asdict(problem.mistake)} for problem in problems],
        "kinds": Counter(problem.mistake.kind for problem in problems),
        "tokens": histogram(counts.tokens),
        "words": histogram(counts.words),
        "media": {name: histogram(values) for name, values in counts.media.items()},
        "sizes": {name: histogram(values) for name, values in counts.sizes.items()},
    }
    typer.echo(json.dumps(found))
