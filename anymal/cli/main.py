"""The `anymal` command: ask, chat and bundle, beside the commands that other parts bring.

Does not import torch until a command needs it, so that help and mistakes come at once.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anymal import __version__
from anymal.cli.bundle_options import ANY_FOLDER, HubOption, LocalModelsOption, PrecisionOption
from anymal.cli.late_commands import CommandGroup
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
bundle_app = typer.Typer(
    no_args_is_help=True, help="Look into bundles, join them, import and export models."
)
app.add_typer(bundle_app, name="bundle")

BundleOption = Annotated[str, typer.Option(help="Bundle folder, or tiny: the built-in model.")]
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
CheckOption = Annotated[
    Literal["whole", "soft"],
    typer.Option(
        help="What is compared: soft tokens and logits, in float32; or soft tokens, and logits of "
        "words alone at the precision that was saved, in less memory."
    ),
]


def main() -> None:
    """Run the command; a user's mistake is one line, not a traceback."""
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


@bundle_app.command("show")
def show_bundle(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or tiny.")] = "tiny",
) -> None:
    """Show what a bundle holds."""
    from rich import print_json

    from anymal.bundle.load import describe

    print_json(describe(bundle).model_dump_json())


@bundle_app.command("join")
def join(
    bundles: Annotated[list[str], typer.Argument(help="Bundles of align stages, of one LLM.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
) -> None:
    """Put aligners that were trained apart into one bundle."""
    from anymal.bundle.join import join_bundles

    typer.echo(f"bundle: {join_bundles(bundles, out)}")


@bundle_app.command("import")
def import_(
    checkpoint: Annotated[str, typer.Argument(help="Folder of a published model, or a Hub id.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    force: Annotated[bool, typer.Option("--force", help="Keep a bundle that differs.")] = False,
    check: CheckOption = "whole",
    allow_hub: HubOption = False,
) -> None:
    """Make a bundle of a published model, and prove that it computes what the model does."""
    _quieten()
    from anymal.published.importing import import_model, shown

    facts = import_model(checkpoint, out, check=check, force=force, allow_hub=allow_hub, tell=_tell)
    typer.echo(f"differs from {facts.class_name} by: {shown(facts)}")
    typer.echo(f"bundle: {out.resolve()}")


@bundle_app.command("check")
def check_bundle(
    bundle: Annotated[str, typer.Argument(help="Bundle folder.")],
    against: Annotated[str, typer.Option(help="Folder of the published model, or a Hub id.")],
    check: CheckOption = "whole",
    allow_hub: HubOption = False,
) -> None:
    """Compare an imported bundle with the published model, on this machine."""
    _quieten()
    from anymal.published.importing import check_against, shown

    facts = check_against(bundle, against, check=check, allow_hub=allow_hub, tell=_tell)
    typer.echo(f"differs from {facts.class_name} by: {shown(facts)}")


@bundle_app.command("export")
def export(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or tiny.")],
    to: Annotated[
        Literal["hf", "peft", "merged"],
        typer.Option(
            help="hf: a class of transformers that holds it; peft: its LoRA, as an adapter; "
            "merged: its language model, LoRA in the weights."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
) -> None:
    """Write a bundle, or what of it another program can hold, in that program's format."""
    _quieten()
    from anymal.published.export import export_bundle

    written = export_bundle(bundle, out, to=to)
    typer.echo(f"{out}: {written.holds}")
    if written.lacks:
        typer.echo(f"not in it: {written.lacks}", err=True)


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
    _quieten()
    from anymal.serving.assistant import load

    with load(
        bundle, precision=precision, allow_hub=allow_hub, local_models=local_models
    ) as assistant:
        yield assistant


def _tell(what: str) -> None:
    """Show what happens now."""
    typer.echo(what, err=True)


def _quieten() -> None:
    """Keep transformers' notes on loading out of the answer."""
    import os

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _lines() -> Iterator[str]:
    """What the user types, until the end of the input."""
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
