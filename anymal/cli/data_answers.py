"""The command `anymal data answers`: several answers of a model to each question of a data set.

Does not draw or write answers; the engine and `anymal.data.preferences.sample` do.
"""

import os
from contextlib import ExitStack, closing
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
from anymal.data.preferences.sample import Ask, Drawn, Messages, write_answers
from anymal.errors import DataError
from anymal.media.corrupt import ABSENT, Named

_KEY = "ANYMAL_API_KEY"


def answers(
    data: DataArgument,
    out: Annotated[
        Path, typer.Option(help="JSONL file to write; one that this command wrote is continued.")
    ],
    bundle: Annotated[
        str | None, typer.Option(help="Bundle that answers here: its folder, or tiny.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Service with OpenAI's chat API that answers.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask there.")] = None,
    format: FormatOption = "anymal",
    media: MediaOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    count: Annotated[int, typer.Option(min=1, help="Answers to each question.")] = 4,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="Of the draw; at 0, all answers are alike.")
    ] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 200,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the first answer; each answer has the next one.")
    ] = 0,
    corruption: Annotated[
        str | None,
        typer.Option(help="What to do to the media first: crop, noise:300, absent and so on."),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(help="Words that the model reads in place of those of the question."),
    ] = None,
    concurrent: Annotated[int, typer.Option(min=1, help="Answers in flight at once.")] = 8,
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the service's key.")
    ] = _KEY,
) -> None:
    """Draw several answers to each question, from a bundle or a service; `pairs` compares them.

    The same command goes on where a killed run was.
    """
    if (bundle is None) == (url is None) or (url is None) != (model is None):
        raise DataError("give --bundle, or --url with --model")
    if corruption is not None:
        try:
            Named.of(corruption)
        except ValueError as error:
            raise DataError(f"--corruption: {error}") from error
        if bundle is None and corruption != ABSENT:
            raise DataError(f"a service takes only --corruption {ABSENT}; others need --bundle")
    rows = choose(data, format=format, media=media, split=split, columns=column).only()
    drawn = Drawn(
        model=str(model or bundle),
        count=count,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        corruption=corruption,
        prompt=ask,
    )
    from rich.progress import Progress

    with ExitStack() as stack:
        if bundle is not None:
            answer = _bundle(bundle, drawn, concurrent, stack)
        else:
            answer = _service(str(url), drawn, key_variable, stack)
        console = plain_console(stderr=True)
        bar = stack.enter_context(Progress(console=console, transient=True))
        task = bar.add_task("answering", total=len(rows))
        write_answers(
            rows,
            out,
            answer,
            drawn,
            concurrent=concurrent,
            done=lambda number: bar.update(task, completed=number),
        )
    plain_console().print(
        f"{counted(len(rows), 'record')} of {counted(count, 'answer')} each in {out}; "
        f"media: {rows.base_dir}"
    )


def _bundle(bundle: str, drawn: Drawn, concurrent: int, stack: ExitStack) -> Ask:
    """A bundle in this process. Imports torch."""
    import json

    from anymal.media.corrupt import Corruption
    from anymal.serving.assistant import Assistant, load

    assistant = stack.enter_context(closing(load(bundle, max_waiting=concurrent)))

    def ask(messages: Messages, seed: int) -> str:
        own = assistant
        if drawn.corruption not in (None, ABSENT):
            # By the record alone, so that all answers to it are about the same picture.
            how = Corruption(name=str(drawn.corruption), seed=json.dumps(messages))
            own = Assistant(
                name=assistant.name,
                processor=assistant.processor.corrupting(how),
                soft_tokens=assistant.soft_tokens,
                engine=assistant.engine,
            )
        reply = own.chat(
            messages, temperature=drawn.temperature, max_tokens=drawn.max_tokens, seed=seed
        )
        return reply.text.strip()

    return ask


def _service(url: str, drawn: Drawn, key_variable: str, stack: ExitStack) -> Ask:
    """A service elsewhere."""
    from anymal.client import Client

    key = os.environ.get(key_variable)
    if key is None and key_variable != _KEY:  # else the client would send the default's
        raise DataError(f"the environment variable {key_variable} is not set; export the key")
    client = stack.enter_context(closing(Client(base_url=url, api_key=key)))

    def ask(messages: Messages, seed: int) -> str:
        reply = client.chat(
            messages,
            model=drawn.model,
            temperature=drawn.temperature,
            max_tokens=drawn.max_tokens,
            seed=seed,
        )
        return reply.text.strip()

    return ask
