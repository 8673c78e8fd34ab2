"""The command `anymal data audit`: evaluation media that are in the training data, too.

Does not compare; `anymal.data.audit` does.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from anymal.cli.console import plain_console
from anymal.cli.counted import counted
from anymal.cli.data_sets import (
    ColumnOption,
    DataArgument,
    FormatOption,
    MediaOption,
    OverridesArgument,
    PromptOption,
    SplitOption,
    choose,
)
from anymal.cli.row_bar import RowBar
from anymal.data.audit.overlap import Unread, find_overlap
from anymal.errors import DataError


def audit(
    data: DataArgument,
    overrides: OverridesArgument = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Data file of an evaluation; repeatable. A recipe's heldout is, too."),
    ] = None,
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    prompt: PromptOption = None,
    against_format: Annotated[str, typer.Option(help="What the rows of those mean.")] = "anymal",
    against_media: Annotated[
        Path | None, typer.Option(help="Folder of their media; by default that of each.")
    ] = None,
    against_split: Annotated[str | None, typer.Option(help="Part of those.")] = None,
    against_column: ColumnOption = None,
    against_prompt: Annotated[str | None, typer.Option(help="Prompt around their rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find media of the evaluation in the training data; exits with 1 if there are any.

    Files are compared by their bytes; images and frames also by how they look, so that copies of
    another size, format or quality are found.
    """
    chosen = choose(
        data,
        overrides,
        format=format,
        media=media,
        split=split,
        columns=column,
        prompt=prompt,
    )
    training = [one.rows for one in chosen.sets if one.is_training]
    evaluation = [one.rows for one in chosen.sets if one.is_heldout]
    for path in against or []:
        other = choose(
            path,
            format=against_format,
            media=against_media,
            split=against_split,
            columns=against_column,
            prompt=against_prompt,
        )
        evaluation += [one.rows for one in other.sets]
    if not training or not evaluation:
        raise DataError(
            "an audit needs training and evaluation data; give a data file and --against FILE, or "
            "a recipe with data and heldout"
        )
    unread = Unread()
    console = plain_console()
    # One console where both are on a terminal, so that lines and the bar do not mix.
    beside = console if console.is_terminal else plain_console(stderr=True)
    matches = []
    total = sum(map(len, [*training, *evaluation]))
    with RowBar(beside, "comparing media", total) as bar:
        for match in find_overlap(training, evaluation, unread, done=bar.step):
            matches.append(match)
            if not as_json:
                console.print(
                    f"{match.evaluation} is in the training data: {match.training}: {match.how}"
                )
    if as_json:
        found = {"matches": [asdict(match) for match in matches], "unread": unread.count}
        typer.echo(json.dumps(found))
    else:
        console.print(f"{counted(total, 'row')}, {counted(len(matches), 'match', 'matches')}")
        if unread.count:
            number = counted(unread.count, "medium", "media")
            console.print(f"not compared: {number} cannot be read; `anymal data check` says why")
    if matches:
        raise typer.Exit(1)
