"""The command `anymal data synth`: questions and answers about captioned media, by a text model.

Does not choose pairs; `anymal.data.synth` does.
"""

import os
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
from anymal.client import Client
from anymal.client.requests import ServiceOptions
from anymal.data.importing import check_new, import_rows
from anymal.data.synth.ask import ask_all
from anymal.data.synth.log import SynthLog
from anymal.data.synth.made import BLIND, REPEAT, Made, digest_of_media, kept_pairs
from anymal.errors import DataError

_KEY = "ANYMAL_API_KEY"
_TOLD = 5  # unreadable rows that are named; the log has all


def synth(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    url: Annotated[str, typer.Option(help="Service with OpenAI's chat API.")],
    model: Annotated[str, typer.Option(help="Text model to ask there.")],
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    count: Annotated[int, typer.Option(min=1, help="Pairs to ask for, of each row.")] = 3,
    concurrent: Annotated[int, typer.Option(min=1, help="Rows in flight at once.")] = 8,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of a reply; by default the service's.")
    ] = None,
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the service's key.")
    ] = _KEY,
    copy_media: Annotated[
        bool, typer.Option("--copy-media", help="Copy media that are files, too.")
    ] = False,
) -> None:
    """Have a text model write questions and answers about media, from their captions.

    The replies are kept beside the folder. The same command goes on where a killed run was.
    """
    check_new(out)
    rows = choose(data, format=format, media=media, split=split, columns=column).only()
    replies = out.with_name(f"{out.name}.replies.jsonl")
    options: ServiceOptions = {"model": model}
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    key = os.environ.get(key_variable)
    if key is None and key_variable != _KEY:  # else the client would send the default's
        raise DataError(f"the environment variable {key_variable} is not set; export the key")
    client = Client(base_url=url, api_key=key)
    log = SynthLog(replies)

    def ask(prompt: str) -> str:
        return client.chat([{"role": "user", "content": prompt}], **options).text

    try:
        with RowBar(plain_console(stderr=True), "asking", len(rows)) as bar:
            said = ask_all(
                rows, ask, log, model=model, count=count, concurrent=concurrent, tick=bar.step
            )
    finally:
        log.close()
        client.close()
    for place in said.unreadable[:_TOLD]:
        typer.echo(place, err=True)
    about = [digest_of_media(rows[number]) for number in range(len(rows))]
    kept, dropped = kept_pairs(said.pairs, about)
    counts = (
        f"{counted(len(kept), 'pair')}; "
        f"dropped: {dropped[REPEAT]:,} {REPEAT}, {dropped[BLIND]:,} {BLIND}; "
        f"unreadable replies: {len(said.unreadable):,} of {len(rows):,} rows (in {replies}; "
        f"to ask for these again, remove {out} and repeat the command)"
    )
    if not kept:
        raise DataError(f"nothing is left to write: {counts}")
    written = import_rows(Made(rows, kept, model), out, copy_media=copy_media)
    folder = "" if written.media is None else f", media: {written.media}"
    plain_console().print(f"{counts}; in a recipe: {{manifest: {written.manifest}{folder}}}")
