"""The command `anymal data show`: one row as the model sees it.

Does not draw; `anymal.data.show` does.
"""

from pathlib import Path
from typing import Annotated

import typer

from anymal.cli.data_sets import (
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
from anymal.data.show.page import draw_row
from anymal.data.show.row import index_of, look_at
from anymal.data.show.terminal import show_row
from anymal.errors import DataError
from anymal.recipe.licences import UNKNOWN


def show(
    data: DataArgument,
    overrides: OverridesArgument = None,
    row: Annotated[
        str, typer.Option(help="Place of the row, or its end: 17 of train.jsonl:17.")
    ] = "1",
    source: Annotated[
        str | None, typer.Option(help="Name of the data file, where a recipe has several.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the row into this file, too.")] = None,
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    prompt: PromptOption = None,
    licence: LicenceOption = UNKNOWN,
) -> None:
    """Show one row: its words, what is learnt of them, and its media."""
    from rich.console import Console

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
    sets = [one for one in chosen.sets if source in (None, one.name, Path(one.name).name)]
    if len(sets) != 1:
        names = ", ".join(Path(one.name).name for one in chosen.sets)
        raise DataError(f"the recipe has {names}; choose one with --source NAME")
    rows = sets[0].rows
    shown = look_at(rows, index_of(rows, row), chosen.model())
    show_row(shown, Console(highlight=False, markup=False, soft_wrap=True))
    if png is not None:
        draw_row(shown, png)
        typer.echo(f"drawn: {png}")
