"""The command `anymal data import`: any data set as our manifest, or as archives.

Does not convert; `anymal.data.importing` does.
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
    PromptOption,
    SplitOption,
    choose,
)
from anymal.cli.row_bar import RowBar
from anymal.data.importing import import_rows, import_to_archives
from anymal.errors import DataError


def import_(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    prompt: PromptOption = None,
    copy_media: Annotated[
        bool, typer.Option("--copy-media", help="Copy media that are files, too.")
    ] = False,
    tar: Annotated[
        bool, typer.Option("--tar", help="Write archives with the media inside, of a GiB each.")
    ] = False,
) -> None:
    """Write a data set of any format as a manifest with media beside it, or as archives."""
    rows = choose(
        data, format=format, media=media, split=split, columns=column, prompt=prompt
    ).only()
    if tar and copy_media:
        raise DataError("--tar holds all media in any case; leave --copy-media out")
    with RowBar(plain_console(stderr=True), "importing", len(rows)) as bar:
        if tar:
            written = import_to_archives(rows, out, tick=bar.step)
        else:
            written = import_rows(rows, out, copy_media=copy_media, tick=bar.step)
    entry = [f"manifest: {written.manifest}"]
    entry += ["format: webdataset"] if tar else []
    entry += [] if written.media is None else [f"media: {written.media}"]
    records = counted(written.num_records, "record")
    plain_console().print(f"{records}; in a recipe: {{{', '.join(entry)}}}")
