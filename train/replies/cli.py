"""The command `anymal data replies`: text-only records by the base model itself.

Does not generate; it reads the recipe and shows progress.
"""

from pathlib import Path
from typing import Annotated

import typer


def replies(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, as for `anymal train`."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Manifest to write; one that exists is continued.")],
    size: Annotated[int, typer.Option(min=1, help="Number of records.")] = 500,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Text file with a prompt on each line; by default the model makes them up."
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of a reply; longer ones are left out.")
    ] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="Of replies; 0 takes the likeliest words.")
    ] = 0.7,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other records.")] = 0,
) -> None:
    """Let a recipe's language model, untrained, reply to prompts; train on it to keep it talking.

    Run again, it continues where it was stopped.
    """
    # torch and transformers take seconds to import; `--help` must not.
    from contextlib import ExitStack, closing

    from rich.progress import Progress

    from anymal.bundle.extend import extended
    from anymal.cli.console import plain_console
    from anymal.recipe.schema import load_recipe
    from train.replies.speaker import Speaker
    from train.replies.write import ReplyOptions, read_prompts, write_replies

    loaded = extended(load_recipe(recipe, overrides or [], keep_unset=True))
    options = ReplyOptions(
        size=size,
        seed=seed,
        max_tokens=max_tokens,
        temperature=temperature,
        prompts=None if prompts is None else read_prompts(prompts),
    )
    console = plain_console()
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("replies", total=size)
        count = write_replies(
            out,
            options,
            speaker=lambda: stack.enter_context(closing(Speaker.of(loaded.model.llm))),
            done=lambda number: progress.update(task, completed=number),
        )
    console.print(f"{count} records in {out}")
