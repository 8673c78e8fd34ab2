"""Rows in each published shape are read, checked and trained on."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from anymal.recipe.schema import load_recipe
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def messages(question: Any, answer: str, **marks: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, **marks},
    ]


FORMATS: dict[str, list[dict[str, Any]]] = {
    "llava": [
        {"id": "0", "image": "0.png", "conversations": turns("<image>\nWhat colour?", "Red.")},
        {"id": "1", "image": "1.png", "conversations": turns("What colour?", "Green.")},
    ],
    "sharegpt": [
        {"messages": messages("<image>What colour?", "Red."), "images": ["0.png"]},
        {
            "messages": messages("What colour is <image>, and <image>?", "Green and red."),
            "images": ["1.png", "3.png"],
        },
    ],
    "swift": [
        {
            "messages": [
                *messages("Hi.", "Hello.", loss=False),
                *messages("<image>Where?", "At <bbox>."),
            ],
            "image": "0.png",
            "objects": {"ref": [], "bbox": [[1, 2, 3, 4]]},
        },
        {"query": "<image>What colour?", "response": "Green.", "images": ["1.png"]},
    ],
    "trl": [
        {"images": ["0.png"], "messages": messages("What colour?", "Red.")},
        {"image": "1.png", "prompt": "What colour?", "completion": "Green."},
    ],
}


@pytest.fixture(name="trained")
def _trained(workshop: Path, write_recipe: WriteRecipe, tmp_path: Path) -> list[Any]:
    """The steps of a run with a stage of one step for each format, on pictures elsewhere."""
    stages = []
    for name, rows in FORMATS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(rows))
        entry = {"manifest": str(path), "format": name, "media": str(workshop / "squares")}
        stage = {"name": name, "kind": "align", "data": [entry], "steps": 1, "batch_size": 2}
        stages.append({**stage, "lr": 0.01, "warmup_steps": 0})
    recipe = load_recipe(write_recipe(tmp_path / "run"), [f"stages={json.dumps(stages)}"])
    console = Console(file=io.StringIO(), width=300)
    run(recipe, resume=False, console=console)
    return read_metrics(tmp_path / "run" / "metrics.jsonl")


def test_two_rows_of_each_format_train_a_step(trained: list[Any]) -> None:
    assert [step.stage for step in trained] == list(FORMATS)
    assert all(step.grad_norm > 0 and step.targets > 0 for step in trained)
