"""`anymal eval compare`: two evaluations of the same questions, paired.

Does not ask questions; `anymal eval A --compare B` asks two bundles.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from anymal.cli.console import plain_console


def compare_command(
    a: Annotated[
        Path, typer.Argument(help="JSON file, JSONL file or folder that `anymal eval --out` wrote.")
    ],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare two evaluations, question by question: is B better than A?"""
    from anymal.evaluation.compare import compare
    from anymal.evaluation.report import comparison_table

    comparison = compare(a, b)
    if as_json:
        pairs = [pair.model_dump() | {"verdict": pair.verdict} for pair in comparison.pairs]
        typer.echo(json.dumps({"tasks": pairs, "left_out": dict(comparison.left_out)}, indent=2))
        return
    console = plain_console()
    if not console.is_terminal:
        console.width = 120  # a pipe has no width
    console.print(f"A: {a}\nB: {b}")
    console.print(comparison_table(comparison.pairs))
    for task, reason in comparison.left_out.items():
        console.print(f"left out {task}: {reason}", style="yellow")
