"""Pairs about the squares of the workshop, and runs of a stage that compares them."""

import io
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file

from train.metrics import StepMetrics, read_metrics
from train.run import run

COLOURS = ("red", "green", "blue")


def phrases(number: int) -> dict[str, list[list[int]]]:
    """The colours of a pair, as spans."""
    names = {"chosen": COLOURS[number % 3], "rejected": COLOURS[(number + 1) % 3]}
    return {answer: [[6, 6 + len(name), 1]] for answer, name in names.items()}


def pair(number: int, **changes: Any) -> dict[str, Any]:
    """A question about a square of the workshop, with a right and a wrong answer."""
    picture = {"type": "image_url", "image_url": {"url": f"{number}.png"}}
    question = {"type": "text", "text": "What colour is it?" + " Say it." * (number % 2)}
    row = {
        "messages": [{"role": "user", "content": [picture, question]}],
        "chosen": f"It is {COLOURS[number % 3]}.",
        "rejected": f"It is {COLOURS[(number + 1) % 3]}, I think.",
        "meta": {"severity": 1 + number % 3, "phrases": phrases(number)},
    }
    return {key: value for key, value in (row | changes).items() if value is not None}


def train(recipe: Any, *, resume: bool = False) -> str:
    shown = io.StringIO()
    run(recipe, resume=resume, console=Console(file=shown, width=200))
    return shown.getvalue()


def steps_of(run_dir: Path) -> list[StepMetrics]:
    return [step for step in read_metrics(run_dir / "metrics.jsonl") if step.stage == "instruct"]


def weights_of(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(run_dir)}/{name}": tensor
        for path in sorted((run_dir / "bundle").rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }
