"""The command `anymal train`: one recipe, run or resumed.

Does not know what a stage does; it reads the recipe, runs it and turns outcomes into exit codes.
"""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Overrides, such as stages.0.steps=100 or run_dir=runs/b.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in run_dir from its last checkpoint.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Decode every manifest row once before the first step, to find broken and "
            "over-long ones.",
        ),
    ] = True,
    commercial: Annotated[
        bool,
        typer.Option(
            "--commercial",
            help="Refuse training data whose licence is unknown or not for commercial use.",
        ),
    ] = False,
    dry_run: Annotated[
        Literal["tiny"] | None,
        typer.Option(
            "--dry-run",
            metavar="tiny",
            help="Try the recipe: two steps of every stage with tiny random stand-ins for its "
            "models and data. Downloads nothing, keeps nothing.",
        ),
    ] = None,
) -> None:
    """Train aligners (and LoRA) as a recipe says; ends with a bundle in run_dir/bundle."""
    # torch and transformers take seconds to import; `anymal --help` must not.
    from anymal.cli.console import plain_console
    from anymal.recipe.schema import load_recipe
    from train.interrupt import Interrupted
    from train.ranks.group import SaidElsewhere
    from train.run import run

    if dry_run is not None:
        if resume:
            raise typer.BadParameter(
                "there is nothing to resume with --dry-run", param_hint="--resume"
            )
        from train.dry_run.run import dry_run as try_out

        try:
            try_out(load_recipe(recipe, overrides or [], keep_unset=True), console=plain_console())
        except Interrupted as interrupted:
            typer.echo("Stopped; nothing was kept.", err=True)
            raise typer.Exit(interrupted.exit_code) from None
        return
    flags = [*([] if check else ["--no-check"]), *(["--commercial"] if commercial else [])]
    command = shlex.join(["anymal", "train", str(recipe), *(overrides or []), *flags, "--resume"])
    try:
        run(
            load_recipe(recipe, overrides or []),
            resume=resume,
            console=plain_console(),
            checks_rows=check,
            is_commercial=commercial,
        )
    except SaidElsewhere:
        raise typer.Exit(1) from None
    except Interrupted as interrupted:
        typer.echo(f"{interrupted} To resume: {command}", err=True)
        raise typer.Exit(interrupted.exit_code) from None
    except KeyboardInterrupt:  # not during a step, or a second Ctrl-C
        typer.echo(f"Stopped; the last checkpoint is whole. To resume: {command}", err=True)
        raise typer.Exit(130) from None
