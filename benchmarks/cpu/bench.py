"""Engines side by side on a CPU and a real model: this one at each precision, and its peers.

Every contender is a process of its own. They take turns in rounds, with new prompts in each; the
numbers are in `workloads.py`. The last line is one JSON object; all figures go to a file, which is
written after every round.

    .venv/bin/python -m benchmarks.cpu.bench MODEL --gguf FILE --out runs/bench-cpu/cpu.json
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig

from anymal.llm.merge_lora import MERGED_PRECISIONS
from benchmarks.cpu.contenders import Setting, commands, why_no_llama
from benchmarks.cpu.process import started
from benchmarks.cpu.rounds import last_line, side_by_side, summary


def measure(setting: Setting, *, rounds: int, seconds: float, logs: Path) -> Iterator[Any]:
    """Start the contenders and let them take turns.

    Args:
        setting: What they share.
        rounds: Most turns of each.
        seconds: No round begins that would probably end later.
        logs: Folder of their messages.

    Yields:
        Everything so far, after each round.
    """
    vocab_size = AutoConfig.from_pretrained(setting.model).vocab_size
    environment = {**os.environ, "OMP_NUM_THREADS": str(setting.threads)}
    with ExitStack() as stack:
        contenders = {
            name: stack.enter_context(
                started(command, log=logs / f"{name}.log", environment=environment)
            )
            for name, command in commands(setting).items()
        }
        for rows in side_by_side(contenders, vocab_size=vocab_size, rounds=rounds, seconds=seconds):
            found = summary(rows)
            for name, each in contenders.items():
                found["contenders"][name]["memory_mb"] = each.memory_mb()
            yield {**found, "rows": rows}


def _table(results: dict[str, Any]) -> Table:
    table = Table(title=f"tokens a second: medians of {results['rounds']} rounds")
    shown = results["contenders"]
    for column in ("", *next(iter(shown.values()))):
        table.add_column(column, justify="right" if column else "left")
    for name, figures in shown.items():
        table.add_row(name, *map(str, figures.values()))
    return table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare engines on a CPU.")
    parser.add_argument("model", type=Path, help="folder of a language model")
    parser.add_argument("--gguf", type=Path, help="the same model, for llama.cpp")
    parser.add_argument("--llama-python", default=sys.executable, help="has llama-cpp-python")
    parser.add_argument("--precisions", default=",".join(MERGED_PRECISIONS), help="of this engine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=900, help="no new round after these")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs/bench-cpu/cpu.json"))
    return parser.parse_args()


def main() -> None:
    """Measure, write the figures after every round, and show them."""
    options = _options()
    torch.set_num_threads(options.threads)
    setting = Setting(
        model=options.model,
        gguf=options.gguf,
        precisions=tuple(options.precisions.split(",")),
        threads=options.threads,
        llama_python=options.llama_python,
    )
    console = Console()
    if (why := why_no_llama(setting)) is not None:
        Console(stderr=True).print(why)
    machine = {
        "cpus": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "threads": options.threads,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for found in measure(
        setting, rounds=options.rounds, seconds=options.seconds, logs=options.out.parent
    ):
        results = {"machine": {**machine, "load": os.getloadavg()[0]}, **found}
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    console.print(_table(results))
    sys.stdout.write(json.dumps(last_line(results)) + "\n")


if __name__ == "__main__":
    main()
