"""The command `anymal data pairs`: several answers to a question as pairs, by a rule.

Does not choose pairs; `anymal.data.preferences` does.
"""

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
    SplitOption,
    choose,
)
from anymal.cli.row_bar import RowBar
from anymal.data.importing import check_new, import_rows
from anymal.data.preferences.build import Pairs, find_pairs, of_equal_length
from anymal.data.preferences.rules import RULES
from anymal.errors import DataError


def pairs(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    rule: Annotated[str, typer.Option(help=f"Which answers make a pair: {', '.join(RULES)}.")],
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    max_words: Annotated[
        int | None, typer.Option(min=1, help="Leave out pairs with a longer answer.")
    ] = None,
    equal_length: Annotated[
        bool,
        typer.Option(
            "--equal-length",
            help="Leave out pairs whose chosen answer is far shorter, until both kinds are about "
            "equally long.",
        ),
    ] = False,
    copy_media: Annotated[
        bool, typer.Option("--copy-media", help="Copy media that are files, too.")
    ] = False,
) -> None:
    """Make records with a chosen and a rejected answer of records with several scored ones."""
    if rule not in RULES:
        raise DataError(f"unknown rule {rule!r}; known: {', '.join(RULES)}")
    check_new(out)
    rows = choose(data, format=format, media=media, split=split, columns=column).only()
    console = plain_console(stderr=True)
    with RowBar(console, "comparing", len(rows)) as bar:
        places = find_pairs(rows, RULES[rule], max_words=max_words, tick=bar.step)
    found = len(places)
    if equal_length:
        places, ratio = of_equal_length(places)
        plain_console().print(
            f"{found - len(places):,} of {counted(found, 'pair')} left out: the chosen answer has "
            f"less than {ratio:.2f} of the other's words"
        )
    if not places:
        raise DataError(
            f"{rule} makes no pair of {counted(len(rows), 'record')}; it needs answers with "
            "different scores, or ratings"
        )
    with RowBar(console, "writing", len(places)) as bar:
        written = import_rows(Pairs(rows, places), out, copy_media=copy_media, tick=bar.step)
    folder = "" if written.media is None else f", media: {written.media}"
    plain_console().print(
        f"{counted(len(places), 'pair')} of {counted(len(rows), 'record')}; "
        f"in a recipe: {{manifest: {written.manifest}{folder}}}"
    )
