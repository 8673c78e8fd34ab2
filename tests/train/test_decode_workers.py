"""Processes that decode change where media are decoded, and nothing else."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from anymal.decoding.pool import DecoderPool, DecoderStats
from anymal.errors import DataError
from anymal.recipe.schema import load_recipe
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[DecoderStats]:
    """What the pools had done when they were closed."""
    stats: list[DecoderStats] = []

    class Watched(DecoderPool):
        def close(self) -> None:
            stats.append(self.stats())
            super().close()

    monkeypatch.setattr("anymal.decoding.choice.DecoderPool", Watched)
    return stats


def losses(path: Path, run_dir: Path, workers: int) -> list[Any]:
    overrides = [f"run_dir={run_dir}", f"decode_workers={workers}", "stages.align.steps=3"]
    recipe = load_recipe(path, overrides)
    alone = recipe.model_copy(update={"stages": recipe.stages[:1]})
    run(alone, resume=False, console=Console(file=io.StringIO()))
    steps = read_metrics(run_dir / "metrics.jsonl")
    return [(s.step, s.loss, s.grad_norm, s.heldout_loss) for s in steps]


def test_a_run_is_the_same(
    write_recipe: WriteRecipe, tmp_path: Path, seen: list[DecoderStats]
) -> None:
    path = write_recipe(tmp_path / "run")
    here = losses(path, tmp_path / "here", 0)
    assert seen == []
    there = losses(path, tmp_path / "there", 2)
    assert there == here
    (stats,) = seen
    assert stats.decodes >= 12 + 3 * 4  # the check of all rows, then three batches
    assert (stats.busy, stats.kills, stats.restarts) == (0, {}, 0)


def test_features_are_the_same(
    write_recipe: WriteRecipe,
    tmp_path: Path,
    run_encode: Callable[..., str],
    stored: Callable[[Path], dict[str, torch.Tensor]],
    seen: list[DecoderStats],
) -> None:
    path = write_recipe(tmp_path / "run")
    for workers in (0, 1):
        recipe = load_recipe(path, [f"decode_workers={workers}"])
        run_encode(recipe, tmp_path / str(workers))
    here, there = (stored(tmp_path / str(workers)) for workers in (0, 1))
    assert here.keys() == there.keys()
    assert all(torch.equal(values, there[name]) for name, values in here.items())
    assert [stats.decodes > 0 for stats in seen] == [True]


def test_a_broken_medium_is_told_with_its_row(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    picture = {"type": "image_url", "image_url": {"url": "half.png"}}
    messages = [
        {"role": "user", "content": [picture]},
        {"role": "assistant", "content": "It is red."},
    ]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    data = f"stages.align.data=[{{manifest: {tmp_path / 'rows.jsonl'}}}]"
    recipe = load_recipe(write_recipe(tmp_path / "run"), [data, "decode_workers=1"])
    with pytest.raises(DataError, match=r"rows\.jsonl.*half\.png"):
        run(recipe, resume=False, console=Console(file=io.StringIO()))
