"""Checkpoints of a run: written whole or not at all, read back exactly, never with pickle.

Knows nothing of the loop: it stores a position, tensors and JSON, and finds the newest checkpoint.

    run_dir/checkpoints/00000120/    number of the optimiser step, over all stages
        state.json                   stage, step, recipe, scalars of the optimiser, random states
        weights.safetensors          aligners and LoRA
        best.safetensors             those of the best measurement, where the stage keeps them
        optimiser.safetensors
        random.safetensors
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from anymal.durable import LEFTOVERS, write_folder
from train.best import Best
from train.errors import TrainingError
from train.optimiser import OptimiserState
from train.random_state import RandomState

FORMAT = 1
KEEP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that the rest of a run depends on.

    Attributes:
        stage: Index of the stage.
        step: Optimiser steps done in that stage.
        total_step: Optimiser steps done in the run; names the folder.
        recipe: The resolved recipe, as JSON values.
        metrics_bytes: Length of metrics.jsonl at this step.
        weights: Aligners and LoRA, by name.
        best: The stage's best measurement, if anything was measured.
        optimiser: State of the stage's optimiser.
        random: States of the random generators.
        began_with: Digest of the weights that the stage began with, where it compares with them.
    """

    stage: int
    step: int
    total_step: int
    recipe: dict[str, Any]
    metrics_bytes: int
    weights: dict[str, Tensor]
    best: Best | None
    optimiser: OptimiserState
    random: RandomState
    began_with: str | None = None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint so that a crash at any moment leaves the previous one in force.

    Args:
        folder: The run's checkpoints folder.
        checkpoint: What to write.

    Returns:
        The folder of this checkpoint.
    """
    final = folder / f"{checkpoint.total_step:08d}"
    if final.exists():  # saved both by save_every and at the end of a stage
        return final
    for leftover in folder.glob(LEFTOVERS):  # of a run that was killed while writing
        shutil.rmtree(leftover)
    state = {
        "format": FORMAT,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "total_step": checkpoint.total_step,
        "metrics_bytes": checkpoint.metrics_bytes,
        "recipe": checkpoint.recipe,
        "best": _figures(checkpoint.best),
        "optimiser": checkpoint.optimiser.scalars,
        "random": checkpoint.random.values,
        "began_with": checkpoint.began_with,
    }
    with write_folder(final) as draft:
        _save_tensors(checkpoint.weights, draft / "weights.safetensors")
        if checkpoint.best is not None and checkpoint.best.weights:
            _save_tensors(checkpoint.best.weights, draft / "best.safetensors")
        _save_tensors(checkpoint.optimiser.tensors, draft / "optimiser.safetensors")
        _save_tensors(checkpoint.random.tensors, draft / "random.safetensors")
        (draft / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for old in _finished(folder)[:-KEEP]:
        shutil.rmtree(old)
    return final


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint; None where there is none yet.

    Raises:
        TrainingError: The newest checkpoint is damaged or of another format.
    """
    finished = _finished(folder)
    return _read(finished[-1]) if finished else None


def _finished(folder: Path) -> list[Path]:
    """Return the folders of complete checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())


def _read(folder: Path) -> Checkpoint:
    """Read one checkpoint."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["format"] != FORMAT:
            raise TrainingError(
                f"checkpoint {str(folder)!r} has format {state['format']}, this version reads "
                f"{FORMAT}; finish the run with the version that started it"
            )
        return Checkpoint(
            stage=state["stage"],
            step=state["step"],
            total_step=state["total_step"],
            recipe=state["recipe"],
            metrics_bytes=state["metrics_bytes"],
            weights=load_file(folder / "weights.safetensors"),
            best=_best(state.get("best"), folder / "best.safetensors"),
            optimiser=OptimiserState(
                tensors=load_file(folder / "optimiser.safetensors"), scalars=state["optimiser"]
            ),
            random=RandomState(
                values=state["random"], tensors=load_file(folder / "random.safetensors")
            ),
            began_with=state.get("began_with"),
        )
    except TrainingError:  # a ValueError, too
        raise
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"checkpoint {str(folder)!r} cannot be read ({error}); "
            "remove it, and --resume continues from the previous one"
        ) from error


def _figures(best: Best | None) -> dict[str, Any] | None:
    """A best measurement without its weights."""
    if best is None:
        return None
    return {"step": best.step, "value": best.value, "misses": best.misses}


def _best(figures: dict[str, Any] | None, weights: Path) -> Best | None:
    """A best measurement with its weights, if it has any; older checkpoints have none."""
    if figures is None:
        return None
    return Best(**figures, weights=load_file(weights) if weights.exists() else {})


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name; each is copied to the CPU and owns its memory."""
    plain = torch.contiguous_format  # encoders keep some weights in another
    owned = {name: t.detach().cpu().clone(memory_format=plain) for name, t in tensors.items()}
    save_file(owned, path)
