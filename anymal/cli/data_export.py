"""The command `anymal data export`: any data set in the format of another tool.

Does not convert; `anymal.data.exporting` does.
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
from anymal.data.exporting.export import To, export_rows


def export(
    data: DataArgument,
    to: Annotated[
        To,
        typer.Option(
            help="llava: LLaVA; sharegpt: LLaMA-Factory; swift: ms-swift; evalscope: EvalScope's "
            "general_vqa; hf: Parquet for the datasets library and TRL, media inside."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    prompt: PromptOption = None,
    copy_media: Annotated[
        bool, typer.Option("--copy-media", help="Copy media that are files, too.")
    ] = False,
) -> None:
    """Write a data set of any format in that of another trainer or of a benchmark tool."""
    rows = choose(
        data, format=format, media=media, split=split, columns=column, prompt=prompt
    ).only()
    with RowBar(plain_console(stderr=True), "exporting", len(rows)) as bar:
        written = export_rows(rows, out, to=to, copy_media=copy_media, tick=bar.step)
    console = plain_console()
    console.print(f"{counted(written.num_records, 'record')}: {written.manifest}")
    if written.media is not None:
        console.print(f"its media are in {written.media}; name that folder to the other tool")
