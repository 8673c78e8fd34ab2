"""The command `anymal plan`: whether a recipe fits and what it costs, before anything is loaded.

Does not plan (see `anymal.plan.run`); it reads the recipe and shows the plan.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from anymal.plan.device import DeviceType
    from anymal.recipe.schema import Recipe


def plan(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, as of anymal train."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory to use, such as 80GiB; by default all of this machine's device."),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Device to plan for; by default the recipe's, cuda where that is auto."),
    ] = None,
    text_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="Text of a sample, in tokens; by default 64 to align, 256 to instruct."
        ),
    ] = None,
    ranks: Annotated[
        int, typer.Option(min=1, help="Devices that share the run, each with this memory.")
    ] = 1,
    serve: Annotated[
        Literal["fp32", "bf16", "int8", "int4"] | None,
        typer.Option(
            help="Plan answering on a CPU at this precision, LoRA merged, instead of training."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plan a run's memory, disk and hours from configurations; exits with 1 if it does not fit."""
    import json

    from anymal.bundle.extend import extended
    from anymal.cli.console import plain_console
    from anymal.llm.load import without_progress
    from anymal.plan.advice import check_fits
    from anymal.plan.cost import measure_cost
    from anymal.plan.picture import plan_values, show_plan
    from anymal.plan.run import device_for, measure_parts, plan_recipe
    from anymal.recipe.schema import load_recipe

    read = extended(load_recipe(recipe, overrides or [], keep_unset=True))
    if serve is not None:
        _plan_serving(read, serve, device=device or "cpu", memory=memory, as_json=as_json)
        return
    kind = device or ("cpu" if read.device == "cpu" else "cuda")
    there = device_for(read, kind, memory, ranks=ranks)
    with without_progress():
        parts = measure_parts(read.model)
        planned = plan_recipe(read, parts, there, text_tokens=text_tokens)
        cost = measure_cost(read, parts, planned)
    if as_json:
        typer.echo(json.dumps(plan_values(planned, cost)))
    else:
        show_plan(planned, cost, plain_console())
    check_fits(read, parts, planned)


def _plan_serving(
    recipe: "Recipe",
    precision: str,
    *,
    device: "DeviceType",
    memory: str | None,
    as_json: bool,
) -> None:
    """Show what the model of a recipe holds while it answers; exits with 1 if it does not fit."""
    import json

    from anymal.cli.console import plain_console
    from anymal.errors import RecipeError
    from anymal.llm.load import without_progress
    from anymal.plan.run import device_for, measure_parts
    from anymal.plan.serving import serving_bytes

    with without_progress():
        parts = serving_bytes(
            measure_parts(recipe.model),
            precision=precision,
            device=device,
            max_tokens=recipe.model.llm.max_tokens,
        )
    total, there = sum(parts.values()), device_for(recipe, device, memory)
    fits = total <= there.memory
    if as_json:
        values = {"fits": fits, "precision": precision, "memory_bytes": there.memory}
        typer.echo(json.dumps(values | {"planned_bytes": total, "parts": parts}))
    else:
        console = plain_console()
        console.print(f"answering at {precision} on a CPU: {total / 1e9:.2f} GB", style="bold")
        for name, size in parts.items():
            console.print(f"  {name:<16}{size / 1e9:6.2f} GB")
    if not fits:
        smaller = "" if precision == "int4" else "try --serve int4, or "
        raise RecipeError(
            f"answering at {precision} takes {total / 1e9:.1f} GB of {there.memory / 1e9:.1f} GB; "
            f"{smaller}use a smaller model.llm.path or a machine with more memory"
        )
