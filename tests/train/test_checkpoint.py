import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from train import checkpoint as module
from train.best import Best
from train.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from train.errors import TrainingError
from train.optimiser import OptimiserState
from train.random_state import random_state


def make(step: int) -> Checkpoint:
    return Checkpoint(
        stage=1,
        step=step,
        total_step=100 + step,
        recipe={"seed": 3, "stages": [{"lr": 1e-3}]},
        metrics_bytes=77,
        weights={"aligners.image.queries": torch.full((2, 3), float(step))},
        best=None,
        optimiser=OptimiserState(
            tensors={"aligners.image.queries/state1": torch.tensor([1, 2], dtype=torch.uint8)},
            scalars={"aligners.image.queries/step": step},
        ),
        random=random_state(),
    )


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    saved = make(4)
    save_checkpoint(tmp_path, saved)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert (found.stage, found.step, found.total_step, found.metrics_bytes) == (1, 4, 104, 77)
    assert found.recipe == saved.recipe
    assert found.optimiser.scalars == saved.optimiser.scalars
    assert found.random.values == saved.random.values
    for ours, theirs in (
        (found.weights, saved.weights),
        (found.optimiser.tensors, saved.optimiser.tensors),
        (found.random.tensors, saved.random.tensors),
    ):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_best_measurement_is_kept_with_its_weights(tmp_path: Path) -> None:
    value = 0.1 + 0.2  # not as short as it looks
    weights = {"aligners.image.queries": torch.rand(2, 3)}
    best = Best(step=3, value=value, misses=1, weights=weights)
    save_checkpoint(tmp_path, dataclasses.replace(make(4), best=best))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.best is not None
    assert (found.best.step, found.best.value, found.best.misses) == (3, value, 1)
    assert torch.equal(found.best.weights["aligners.image.queries"], *weights.values())
    save_checkpoint(tmp_path, dataclasses.replace(make(6), best=Best(step=3, value=value)))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.best == Best(step=3, value=value)


def test_the_last_two_stay(tmp_path: Path) -> None:
    for step in (2, 4, 6, 6):
        save_checkpoint(tmp_path, make(step))
    assert sorted(os.listdir(tmp_path)) == ["00000104", "00000106"]


@pytest.mark.parametrize("writes_before_crash", range(4))
def test_a_crash_while_writing_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_before_crash: int
) -> None:
    save_checkpoint(tmp_path, make(2))
    real, left = module._save_tensors, [writes_before_crash]

    def crash_sometimes(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if left[0] == 0:
            path.write_bytes(b"half of a fi")
            raise KeyboardInterrupt
        left[0] -= 1
        real(tensors, path)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save_tensors", crash_sometimes)
    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, make(4))
    monkeypatch.undo()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    save_checkpoint(tmp_path, make(4))
    assert sorted(os.listdir(tmp_path)) == ["00000102", "00000104"]


def test_no_checkpoint_yet_is_no_error(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none") is None
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("state", [b"[]", b"null", b"\xff", b"{}", b""])
def test_a_state_that_is_none_is_named(tmp_path: Path, state: bytes) -> None:
    folder = save_checkpoint(tmp_path, make(2))
    (folder / "state.json").write_bytes(state)
    with pytest.raises(TrainingError, match="00000102' cannot be read"):
        latest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, make(2))
    (folder / "weights.safetensors").write_bytes(b"\0" * 5)
    with pytest.raises(TrainingError, match="00000102' cannot be read"):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make(2)) / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(TrainingError, match="format 99, this version reads 1"):
        latest_checkpoint(tmp_path)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, make(2))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
