"""Tiny random checkpoints, a manifest of coloured squares and a recipe that joins them."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import tiny

if TYPE_CHECKING:
    import torch

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def save_manifest(folder: Path) -> Path:
    """Save squares of three colours, and questions about them."""
    from PIL import Image

    folder.mkdir(parents=True)
    rows = []
    for number in range(12):
        name = list(COLOURS)[number % 3]
        Image.new("RGB", (16, 16), COLOURS[name]).save(folder / f"{number}.png")
        question = "What colour is it?" + " Say it in one word." * (number % 2)
        rows.append(
            {
                "id": f"square-{number}",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": f"{number}.png"}},
                            {"type": "text", "text": question},
                        ],
                    },
                    {"role": "assistant", "content": f"It is {name}."},
                ],
                "meta": {"task": "colour", "answer": name, "choices": list(COLOURS)},
            }
        )
    path = folder / "train.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


RECIPE = """\
# anymal train recipe.yaml
run_dir: {run_dir}
seed: 3
device: cpu
model:
  llm: {{path: llm, precision: fp32, template: llama2, max_tokens: 128}}
  modalities:
    image:
      encoder: {{kind: vision, path: vision}}
      aligner: {{kind: perceiver, num_tokens: 32, depth: 1, num_heads: 2, head_dim: 8}}
  lora: {{r: 2, alpha: 4, dropout: 0.1}}
stages:
  - name: align
    kind: align
    data: [{{manifest: squares/train.jsonl}}]
    heldout: [{{manifest: squares/train.jsonl}}]
    steps: 6
    batch_size: 2
    accumulate: 2
    lr: 1.0e-2
    warmup_steps: 2
    clip_norm: 1.0
    save_every: 2
    eval_every: 3
    eval_samples: 6
    bucket: true
  - name: instruct
    kind: instruct
    data:
      - {{manifest: squares/train.jsonl, weight: 2.0}}
      - {{manifest: squares/train.jsonl, weight: 1.0, name: again}}
    heldout: [{{manifest: squares/train.jsonl}}]
    steps: 5
    batch_size: 2
    accumulate: 1
    lr: 5.0e-3
    lora_lr: 1.0e-3
    warmup_steps: 1
    min_lr_ratio: 0.1
    clip_norm: 1.0
    save_every: 2
    eval_every: 5
    eval_samples: 6
    checkpointing: true
"""


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes half of a short run; runs of fixtures with a wider scope still draw."""
    monkeypatch.setattr("train.stage_run.plot_losses", lambda metrics, path: None)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `llm/`, `vision/` and `squares/`."""
    folder = tmp_path_factory.mktemp("workshop")
    tiny.save_llm(folder / "llm")
    tiny.save_vision(folder / "vision")
    save_manifest(folder / "squares")
    return folder


@pytest.fixture(scope="session")
def write_recipe(workshop: Path) -> Callable[[Path], Path]:
    """Writes the recipe beside the checkpoints, for a run folder of the test's own."""
    numbers = itertools.count()

    def write(run_dir: Path) -> Path:
        path = workshop / f"recipe-{next(numbers)}.yaml"
        path.write_text(RECIPE.format(run_dir=run_dir))
        return path

    return write


@pytest.fixture(scope="session")
def mixed(workshop: Path) -> list[str]:
    """Overrides that train on four records of a picture and a motion each, three of both distinct.

    Motions are of 40, 64 and 200 rows, and an encoder's window is of 64.
    """
    tiny.save_imu(workshop / "imu")
    rows = []
    for number, length in enumerate((40, 64, 200, 200)):
        samples = [[0.1 * min(number, 2), 0.0, 9.8, 0.0, 0.01 * i, 0.0] for i in range(length)]
        content = [
            {"type": "image_url", "image_url": {"url": f"{number}.png"}},
            {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}},
            {"type": "text", "text": "What is it?"},
        ]
        messages = [
            {"role": "user", "content": content},
            {"role": "assistant", "content": f"It is {number}."},
        ]
        rows.append(json.dumps({"messages": messages}))
    path = workshop / "squares" / "mixed.jsonl"
    path.write_text("\n".join(rows) + "\n")
    data = f"[{{manifest: {path}}}]"
    imu = "{encoder: {kind: imu_transformer, path: imu}, aligner: {kind: linear, num_tokens: 32}}"
    return [
        f"model.modalities.imu={imu}",
        f"stages.align.data={data}",
        f"stages.align.heldout={data}",
        f"stages.instruct.data={data}",
        "stages.instruct.heldout=null",
        "stages.instruct.steps=2",
    ]


@pytest.fixture(scope="session")
def run_encode() -> Callable[..., str]:
    """Encodes a recipe's media: `run_encode(recipe, folder, limit=...)`; returns what was shown."""
    from rich.console import Console

    from train.encode.run import EncodeOptions, encode

    def run(recipe: Any, root: Path, **options: Any) -> str:
        shown = io.StringIO()
        console = Console(file=shown, width=300)

        def confirm(text: str) -> bool:
            console.print(text)
            return True

        encode(recipe, EncodeOptions(root=root, confirm=confirm, **options), console=console)
        return shown.getvalue()

    return run


@pytest.fixture(scope="session")
def stored() -> "Callable[[Path], dict[str, torch.Tensor]]":
    """Reads all features of a cache by folder and hash, whatever the files."""
    from safetensors.torch import load_file

    def read(root: Path) -> "dict[str, torch.Tensor]":
        found = {}
        for path in sorted(root.rglob("*.safetensors")):
            tensors = load_file(path)
            begin = 0
            for key, end in zip(tensors["keys"], tensors["ends"].tolist(), strict=True):
                name = f"{path.parent.name}/{bytes(key.tolist()).hex()}"
                assert name not in found, "stored twice"
                found[name] = tensors["values"][begin:end].clone()
                begin = end
        return found

    return read


@pytest.fixture(scope="session")
def pairs(workshop: Path) -> Path:
    """Six questions about squares, each with a right and a wrong answer."""
    from tests.train.preferring import pair

    path = workshop / "squares" / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(pair(number)) for number in range(6)) + "\n")
    return path


@pytest.fixture
def recipe_of(write_recipe: Callable[[Path], Path], pairs: Path) -> Callable[..., Any]:
    """Makes a recipe whose second stage compares answers; `first` keeps the first, too.

    With `measures`, the pairs are also held out.
    """

    def make(
        run_dir: Path,
        *overrides: str,
        objective: str = "{kind: preference, preset: mdpo}",
        first: bool = False,
        measures: bool = False,
    ) -> Any:
        from anymal.recipe.schema import load_recipe

        data = f"[{{manifest: {pairs}}}]"
        given = [
            f"stages.instruct.objective={objective}",
            f"stages.instruct.data={data}",
            f"stages.instruct.heldout={data if measures else 'null'}",
            "stages.instruct.steps=4",
            "stages.instruct.warmup_steps=0",
            "model.lora.dropout=0",
            "stages.align.steps=2",
            "stages.align.warmup_steps=0",
            "stages.align.heldout=null",
            *overrides,
        ]
        whole = load_recipe(write_recipe(run_dir), given)
        return whole if first else whole.model_copy(update={"stages": whole.stages[1:]})

    return make
