"""The command of a comparison in rounds: measure with a progress bar, show, and write the figures.

Does not measure.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from benchmarks.serving.load import as_table


def run_in_rounds(
    description: str, measure: Callable[..., dict[str, Any]], num_turns: Callable[[int], int]
) -> None:
    """Read the options, measure, show the table, and write the figures.

    Args:
        description: Of the command, for `--help`.
        measure: Called with `rounds`, and `tick`, which it calls at each turn.
        num_turns: From the rounds, how often it will.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("measuring", total=num_turns(options.rounds))
        results = measure(rounds=options.rounds, tick=lambda name: progress.advance(bar))
    console = Console()
    console.print(as_table(results["contenders"]))
    console.print_json(data=results["summary"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
