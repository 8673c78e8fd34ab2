"""The command `anymal data encode`: features of a recipe's media, computed once and kept.

Does not encode; it reads the recipe, asks before it writes and turns outcomes into exit codes.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def encode(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, as for `anymal train`."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the features; by default the recipe's `features`."),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Encode the data of this stage; repeatable; default: all."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Encode only the first N records of each source.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Windows (pictures, frames, stretches) per encoder call.")
    ] = 16,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before writing.")] = False,
) -> None:
    """Run the frozen encoders over a recipe's media once and keep their features.

    Run again, it continues where it was stopped and encodes only what is missing.
    """
    # torch and transformers take seconds to import; `--help` must not.
    from anymal.bundle.extend import extended
    from anymal.cli.console import plain_console
    from anymal.errors import RecipeError
    from anymal.recipe.schema import load_recipe
    from train.encode.run import EncodeOptions
    from train.encode.run import encode as run
    from train.interrupt import Interrupted

    loaded = extended(load_recipe(recipe, overrides or []))
    if out is None and loaded.features is None:
        raise RecipeError("where to? Give --out FOLDER, or set `features` in the recipe")
    root = Path(loaded.features or "") if out is None else out.absolute()
    console = plain_console()

    def confirm(text: str) -> bool:
        console.print(text)
        return yes or typer.confirm("Write them?")

    options = EncodeOptions(
        root=root,
        stages=stage or (),
        limit=limit,
        batch_windows=batch_size,
        confirm=confirm,
    )
    try:
        is_done = run(loaded, options, console=console)
    except Interrupted as interrupted:
        typer.echo(f"{interrupted} The same command continues from there.", err=True)
        raise typer.Exit(interrupted.exit_code) from None
    except KeyboardInterrupt:  # before the first medium, or a second Ctrl-C
        typer.echo("Stopped; files that were written are whole.", err=True)
        raise typer.Exit(130) from None
    if not is_done:
        raise typer.Exit(1)
    if out is not None:
        command = shlex.join(
            ["anymal", "train", str(recipe), *(overrides or []), f"features={root}"]
        )
        console.print(f"to train from them: {command}")
