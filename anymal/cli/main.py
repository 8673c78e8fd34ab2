"""The `anymal` command: ask and chat, beside the commands that other files and parts bring.

Does not import torch until a command needs it, so that help and mistakes come at once.
"""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anymal import __version__
from anymal.cli.bundle import bundle_app
from anymal.cli.bundle_options import ANY_FOLDER, HubOption, LocalModelsOption, PrecisionOption
from anymal.cli.late_commands import CommandGroup
from anymal.cli.quiet import quieten
from anymal.errors import AnymalError

if TYPE_CHECKING:
    from anymal.client.answer import AnswerStream, Asker

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Ask a language model about images, videos, sounds and motion recordings.",
)
app.add_typer(bundle_app, name="bundle")

BundleOption = Annotated[
    str,
    typer.Option(help="Bundle folder, ORG/NAME[@REV] of the Hub, or tiny: the built-in model."),
]
UrlOption = Annotated[
    str | None, typer.Option(help="Ask a running service instead, such as http://127.0.0.1:8000.")
]
TokensOption = Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")]
RateOption = Annotated[
    float | None, typer.Option(min=0, help="Motion samples per second, if the file has no times.")
]
AccelerationOption = Annotated[
    Literal["m/s2", "g"] | None,
    typer.Option(help="Unit of the accelerations; m/s2 if the file states none."),
]
RotationOption = Annotated[
    Literal["rad/s", "deg/s"] | None,
    typer.Option(help="Unit of the rotations; rad/s if the file states none."),
]


def main() -> None:
    """Run the command; a user's mistake is one line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files and rows of strangers may hold halves of characters.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="anymal")
    except AnymalError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"anymal {__version__}")
        raise typer.Exit


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.", show_default=False)],
    image: Annotated[list[str] | None, typer.Option(help="Image file; repeatable.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Video file; repeatable.")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="Sound file; repeatable.")] = None,
    imu: Annotated[
        list[str] | None,
        typer.Option(help="Motion recording, or ACCELERATION,ROTATION in two files; repeatable."),
    ] = None,
    group: Annotated[
        bool, typer.Option("--group", help="Videos, sounds and motions began at the same time.")
    ] = False,
    imu_rate_hz: RateOption = None,
    acceleration_unit: AccelerationOption = None,
    rotation_unit: RotationOption = None,
    max_tokens: TokensOption = 256,
    bundle: BundleOption = "tiny",
    precision: PrecisionOption = None,
    allow_hub: HubOption = False,
    local_models: LocalModelsOption = ANY_FOLDER,
    url: UrlOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help='Print {"text": ...} once the answer is whole.')
    ] = False,
) -> None:
    """Ask one question about any number of files; the answer appears as it is generated.

    Files come before the question: images, then videos, sounds and motion recordings.
    """
    from anymal.client.attachments import Media

    media = Media(
        image=image,
        video=video,
        audio=audio,
        imu=imu,
        imu_rate_hz=imu_rate_hz,
        acceleration_unit=acceleration_unit,
        rotation_unit=rotation_unit,
        group=group,
    )
    with _asker(
        bundle, url, precision=precision, allow_hub=allow_hub, local_models=local_models
    ) as asker:
        messages = [asker.message(question, **media)]
        stream = asker.stream(messages, max_tokens=max_tokens, stop_repetition=True)
        if as_json:
            answer = stream.answer
            usage = answer.usage.model_dump()
            found = {"text": answer.text, "finish_reason": answer.finish_reason, "usage": usage}
            if answer.refusal is not None:
                found["refusal"] = answer.refusal
            typer.echo(json.dumps(found))
        else:
            show(stream)


@app.command()
def chat(
    imu_rate_hz: RateOption = None,
    acceleration_unit: AccelerationOption = None,
    rotation_unit: RotationOption = None,
    max_tokens: TokensOption = 256,
    bundle: BundleOption = "tiny",
    precision: PrecisionOption = None,
    allow_hub: HubOption = False,
    local_models: LocalModelsOption = ANY_FOLDER,
    url: UrlOption = None,
) -> None:
    """Talk with the model; /image PATH and the like attach files, /help shows more."""
    from anymal.cli.chat_loop import ChatLoop
    from anymal.client.attachments import Media

    motion = Media(
        imu_rate_hz=imu_rate_hz, acceleration_unit=acceleration_unit, rotation_unit=rotation_unit
    )
    with _asker(
        bundle, url, precision=precision, allow_hub=allow_hub, local_models=local_models
    ) as asker:
        ChatLoop(asker, motion=motion, max_tokens=max_tokens, show=show).run(_lines())


def show(stream: "AnswerStream") -> str:
    """Print an answer as it arrives; returns the whole text."""
    with stream:
        for piece in stream:
            typer.echo(piece, nl=False)
            sys.stdout.flush()
        typer.echo()
        if stream.answer.refusal is not None:
            typer.echo(f"the service ended the answer: {stream.answer.refusal}", err=True)
        return stream.answer.text


@contextmanager
def _asker(
    bundle: str,
    url: str | None,
    *,
    precision: str | None,
    allow_hub: bool,
    local_models: Path,
) -> Iterator["Asker"]:
    """The service at a URL, or a bundle in this process."""
    if url is not None:
        if precision is not None:
            raise typer.BadParameter(
                "the service at --url holds its own model", param_hint="--precision"
            )
        from anymal.cli.remote_asker import RemoteAsker
        from anymal.client import Client

        with RemoteAsker(Client(base_url=url)) as client:
            yield client
        return
    quieten()
    from anymal.serving.assistant import load

    with load(
        bundle, precision=precision, allow_hub=allow_hub, local_models=local_models
    ) as assistant:
        yield assistant


def _lines() -> Iterator[str]:
    """What the user types, until the end of the input."""
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
