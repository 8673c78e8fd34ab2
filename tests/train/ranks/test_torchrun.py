"""Several ranks train what one does, and end together when one of them cannot go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

# AdamW makes steps of the size of lr even of gradients that are rounding errors.
STAGE = {"steps": 2, "lr": 3e-5, "save_every": 1, "eval_every": 2}
SHAPES = "anymal.playground.sources:lone_shapes"
WAIT_S = 120


def shapes(split: str, *, size: int = 100, **more: Any) -> dict[str, Any]:
    return {"source": SHAPES, "args": {"split": split, "size": size, **more}}


def recipe(folder: Path) -> Path:
    """A new perceiver before the built-in language model in four bits, then with LoRA."""
    values = {
        "run_dir": str(folder / "run"),
        "device": "cpu",
        "model": {
            "media_first": True,
            "llm": {"path": "tiny:llm", "precision": "nf4", "template": "llama2"},
            "lora": {"r": 4, "alpha": 4},
            "modalities": {
                "image": {
                    "encoder": {"kind": "vision", "path": "tiny:encoders/image", "layer": None},
                    "aligner": {"kind": "perceiver", "num_tokens": 8, "depth": 1}
                    | {"hidden_dim": 32, "num_heads": 2, "head_dim": 16, "mult": 2},
                }
            },
        },
        "stages": [
            {"name": "align", "kind": "align", "data": [shapes("train", style="caption")]}
            | {"heldout": [shapes("heldout", size=7)], "batch_size": 6, "micro_batch": 2, **STAGE},
            {"name": "instruct", "kind": "instruct", "data": [shapes("train")]}
            | {"batch_size": 6, "packing": True, "accumulate": 2, "bucket": False, **STAGE},
        ],
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def start(
    folder: Path, *overrides: str, ranks: int, fault: str | None = None, restarts: int = 0
) -> subprocess.Popen[str]:
    """Start `anymal train`, by torchrun unless there is one rank."""
    command = ["-m", "tests.train.ranks.one_of_ranks"]
    if ranks > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command = [*launcher, f"--max-restarts={restarts}", *command]
    more = {"OMP_NUM_THREADS": "1"} | ({"FAULT": fault} if fault else {})
    return subprocess.Popen(
        [sys.executable, *command, "train", str(recipe(folder)), *overrides],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(folder: Path, *overrides: str, **options: Any) -> str:
    """Run it to its end; returns what it said."""
    process = start(folder, *overrides, **options)
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    return said


def fails(folder: Path, *overrides: str, **options: Any) -> str:
    """Run it to its error; returns what it said."""
    process = start(folder, *overrides, **options)
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode != 0, said
    return said


def weights(folder: Path) -> dict[str, Tensor]:
    """Those of the last checkpoint."""
    return load_file(max((folder / "run" / "checkpoints").iterdir()) / "weights.safetensors")


def steps(folder: Path) -> list[dict[str, Any]]:
    """The lines of its metrics."""
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def differ(one: Path, other: Path) -> float:
    """By how much two runs' last weights differ at most."""
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one rank."""
    folder = tmp_path_factory.mktemp("alone")
    train(folder, ranks=1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "overrides", "fault"),
    [
        (2, [], None),
        (3, ["stages.0.micro_batch=1"], None),
        (2, ["shard=true"], None),
        (2, ["stages.1.checkpointing=true", "shard=true"], None),
        (2, [], "memory"),
    ],
)
def test_ranks_take_the_steps_of_one(
    tmp_path: Path, alone: Path, ranks: int, overrides: list[str], fault: str | None
) -> None:
    said = train(tmp_path, *overrides, ranks=ranks, fault=fault)
    assert differ(tmp_path, alone) < 1e-5
    mine, theirs = steps(tmp_path), steps(alone)
    for one, other in zip(mine, theirs, strict=True):
        same = ("stage", "step", "tokens", "targets")
        assert [one[name] for name in same] == [other[name] for name in same]
        # A sharded model leaves out the held-out record that only one rank would run.
        close = ("loss", "grad_norm") if "shard=true" in overrides else ("loss", "heldout_loss")
        assert [one.get(name) for name in close] == pytest.approx(
            [other.get(name) for name in close], abs=1e-5
        )
    assert said.count("instruct step 2") == 1  # one rank talks


@pytest.mark.slow
def test_a_batch_that_ranks_cannot_share_evenly(tmp_path: Path) -> None:
    for ranks in (1, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        train(folder, "stages.0.batch_size=7", "stages.1.batch_size=7", ranks=ranks)
    assert differ(tmp_path / "1", tmp_path / "3") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_other_ranks_resume_a_run(tmp_path: Path, alone: Path, ranks: int) -> None:
    fails(tmp_path, ranks=2, fault="killed")
    before = len(steps(tmp_path))
    train(tmp_path, "--resume", ranks=ranks)
    assert 0 < before < len(steps(tmp_path)) == 4
    assert differ(tmp_path, alone) < 1e-5


@pytest.mark.slow
def test_a_killed_rank_ends_all_with_one_message(tmp_path: Path) -> None:
    began = time.monotonic()
    said = fails(tmp_path, ranks=3, fault="killed")
    assert time.monotonic() - began < WAIT_S / 2
    assert said.count("error: another process of this run ended") == 1
    assert "train/run.py" not in said  # torchrun prints a traceback of its own


@pytest.mark.slow
def test_a_restart_continues(tmp_path: Path, alone: Path) -> None:
    train(tmp_path, "--resume", ranks=2, fault="killed", restarts=1)
    assert len(steps(tmp_path)) == 4
    assert differ(tmp_path, alone) < 1e-5


@pytest.mark.slow
def test_memory_that_runs_out_on_one_rank_ends_a_sharded_run(tmp_path: Path) -> None:
    said = fails(tmp_path, "shard=true", ranks=2, fault="memory")
    assert said.count("error: ") == 1
    assert "lower stages.align.micro_batch" in said


@pytest.mark.slow
def test_sigterm_saves(tmp_path: Path, alone: Path) -> None:
    process = start(tmp_path, "stages.0.steps=1000", ranks=2)
    log = tmp_path / "run" / "metrics.jsonl"
    while not (log.is_file() and log.read_text()):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode != 0
    assert said.count("Stopped after step") == 1
    done = len(steps(tmp_path))
    assert (tmp_path / "run" / "checkpoints" / f"{done:08d}").is_dir()


@pytest.mark.slow
def test_ranks_that_would_train_different_things_are_refused(tmp_path: Path) -> None:
    said = fails(tmp_path, ranks=2, fault="disagrees")
    assert said.count("error: ") == 1
    assert "ranks 0 and 1 differ in the recipe; give" in said
