"""Rows in each published shape are read, checked and trained on."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from anymal.recipe.schema import load_recipe
from tests import tiny
from tests.anymal.data.examples import EXAMPLES
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


@pytest.fixture(name="entries")
def _entries(workshop: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Data entries by name: files of rows about pictures elsewhere, and whole data sets."""
    entries: dict[str, dict[str, Any]] = {}
    for name, rows in FORMATS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(rows))
        entries[name] = {"manifest": str(path), "format": name, "media": str(workshop / "squares")}
    for name, save in EXAMPLES.items():
        (tmp_path / name).mkdir()
        entries[name] = save(tmp_path / name)
    return entries


def test_two_rows_of_each_format_train_a_step(
    entries: dict[str, dict[str, Any]], write_recipe: WriteRecipe, workshop: Path, tmp_path: Path
) -> None:
    checkpoints = SimpleNamespace(
        llm=workshop / "llm",
        vision=workshop / "vision",
        audio=tiny.save_audio(workshop / "audio"),
        imu=tiny.save_imu(workshop / "imu"),
    )
    model = tiny.model_section(checkpoints, ["image", "audio", "imu"], max_tokens=1024)
    stages = [
        {"name": name, "kind": "align", "data": [entry], "steps": 1, "batch_size": 2, "lr": 0.01}
        for name, entry in entries.items()
    ]
    changes = {"stages": stages, "model": model}
    recipe = load_recipe(
        write_recipe(tmp_path / "run"), [f"{key}={json.dumps(to)}" for key, to in changes.items()]
    )
    run(recipe, resume=False, console=Console(file=io.StringIO(), width=300))
    trained = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [step.stage for step in trained] == list(entries)
    assert all(step.grad_norm > 0 and step.targets > 0 for step in trained)
