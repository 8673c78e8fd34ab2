"""`anymal bundle`: look into bundles, join them, share them, import and export models.

Does not import torch until a command needs it, so that help and mistakes come at once.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from anymal.cli.bundle_options import HubOption
from anymal.cli.quiet import quieten

bundle_app = typer.Typer(
    no_args_is_help=True, help="Look into bundles, join them, share them, import and export models."
)

CheckOption = Annotated[
    Literal["whole", "soft"],
    typer.Option(
        help="What is compared: soft tokens and logits, in float32; or soft tokens, and logits of "
        "words alone at the precision that was saved, in less memory."
    ),
]
HubNameArgument = Annotated[
    str,
    typer.Argument(
        metavar="ORG/NAME[@REV]", help="Name on the Hub; REV is a branch, tag or commit."
    ),
]


@bundle_app.command("show")
def show_bundle(
    bundle: Annotated[
        str, typer.Argument(help="Bundle folder, ORG/NAME[@REV] of the Hub, or tiny.")
    ] = "tiny",
    allow_hub: HubOption = False,
) -> None:
    """Show what a bundle holds."""
    from rich import print_json

    from anymal.bundle.load import describe

    print_json(describe(bundle, allow_hub=allow_hub).model_dump_json())


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
    quieten()
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
    quieten()
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
    quieten()
    from anymal.published.export import export_bundle

    written = export_bundle(bundle, out, to=to)
    typer.echo(f"{out}: {written.holds}")
    if written.lacks:
        typer.echo(f"not in it: {written.lacks}", err=True)


@bundle_app.command("push")
def push(
    name: HubNameArgument,
    bundle: Annotated[str, typer.Option(help="Bundle folder, or tiny.")],
    licence: Annotated[
        str, typer.Option(help="Of the weights, as an SPDX name such as CC-BY-4.0, for the card.")
    ] = "unknown",
    public: Annotated[
        bool, typer.Option("--public", help="Let others read a repository that is made.")
    ] = False,
    allow_hub: HubOption = False,
) -> None:
    """Put a bundle and its card on the Hub; here REV is a branch. Needs --allow-hub and a login."""
    from anymal.bundle.share import hub_name
    from anymal.bundle.share import push as push_bundle
    from anymal.errors import BundleError

    if not allow_hub:
        raise BundleError(
            "push sends the bundle to the Hub; allow that with --allow-hub (ANYMAL_ALLOW_HUB=1)"
        )
    pushed = push_bundle(bundle, hub_name(name), licence=licence, is_public=public)
    typer.echo(f"{name}: {pushed.url}")
    for path in pushed.lacks:
        typer.echo(
            f"not in it: {path}, which only this machine has; name a Hub id in the recipe, or "
            "embed it (embed: true)",
            err=True,
        )


@bundle_app.command("pull")
def pull(
    name: HubNameArgument,
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    allow_hub: HubOption = False,
) -> None:
    """Copy a bundle from the Hub into a folder; without --allow-hub, from its local cache."""
    from anymal.bundle.share import hub_name
    from anymal.bundle.share import pull as pull_bundle

    typer.echo(f"bundle: {pull_bundle(hub_name(name), out, allow_hub=allow_hub)}")


def _tell(what: str) -> None:
    """Show what happens now."""
    typer.echo(what, err=True)
