"""What a training step takes of the card: planned before, measured after, and how much fits.

Does not know what a step does.

Units: bytes.
"""

import gc
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from anymal.errors import AnymalError
from anymal.plan.aligner import measure_aligner
from anymal.plan.device import Device
from anymal.plan.language_model import read_language_model
from anymal.plan.stage import MemoryPass, Parts, StageMemory
from anymal.recipe.schema import Recipe
from benchmarks.gpu.shape import Shape
from benchmarks.gpu.train import stage_of
from encoders.base import Layout

CAP = 80 * 10**9
_TRIES = 10  # each is a step of a whole card
_SHARE = 16  # the largest micro-batch is found to one part in so many


def plan_of(shape: Shape, device: torch.device, *, lora: bool) -> StageMemory:
    """The plan of this project's step, as `anymal plan` makes it.

    Args:
        shape: What is trained.
        device: Where.
        lora: Whether LoRA trains.

    Returns:
        The memory of the stage, on a card of `CAP` bytes.
    """
    stage = stage_of(shape, lora=lora)
    aligner = {"kind": "perceiver", "num_tokens": shape.soft, **shape.aligner}
    with tempfile.TemporaryDirectory() as folder:
        shape.config.save_pretrained(folder)
        recipe = Recipe.model_validate(
            {
                "run_dir": folder,
                "features": folder,
                "model": {
                    "llm": {"path": folder, "precision": "nf4"},
                    "lora": {"r": shape.rank} if lora else None,
                    "modalities": {
                        "image": {"encoder": {"kind": "vision", "path": "-"}, "aligner": aligner}
                    },
                },
                "stages": [stage.model_dump()],
            }
        )
        llm = read_language_model(folder)
    num_features, width = shape.features
    sizes = measure_aligner(
        "image",
        recipe.model.modalities["image"].aligner,
        encoder_dim=width,
        layout=Layout(before=num_features),
        llm_dim=llm.embedding_dim,
    )
    parts = Parts(llm=llm, encoders={}, aligners={"image": sizes})
    kind = "cuda" if device.type == "cuda" else "cpu"
    return StageMemory(stage, recipe, parts, Device(type=kind, memory=CAP))


def pass_of(shape: Shape, num_samples: int) -> MemoryPass:
    """So many samples, as the plan knows them."""
    return MemoryPass(
        num_samples=num_samples,
        text_tokens=shape.before + shape.after,
        max_tokens=shape.sample,
    )


def planned_bytes(plan: StageMemory, run: MemoryPass) -> int:
    """What is planned of that which torch allocates.

    What the device takes for itself is in the plan and in no figure of torch.
    """
    return plan.total(run) - plan.held()["overhead"]


def attempt(work: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Do some work; lack of memory is a result, and another failure does not end the run.

    Args:
        work: Returns figures.
        device: Where.

    Returns:
        The figures, `out_of_memory`, or the first line of the `error`; with seconds and, on a GPU,
        the peak.
    """
    release(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    try:
        found = work()
    except (RuntimeError, AnymalError) as error:
        found = _failure(error)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        found["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        found["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return {**found, "seconds": round(time.perf_counter() - start, 4)}


def _failure(error: Exception) -> dict[str, Any]:
    """What a case came to that did not end."""
    text = str(error) or type(error).__name__
    # cuBLAS says in its own way that it finds no memory for its workspace.
    if isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in text:
        return {"out_of_memory": True}
    return {"error": text.splitlines()[0]}


def release(device: torch.device) -> None:
    """Give back what nobody refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def largest(fits: Callable[[int], bool], *, guess: int, most: int) -> dict[str, Any]:
    """Find the largest number of samples that fits, to a sixteenth; the guess saves tries only.

    Doubles or halves until one number fits and another does not, then tries the middle.

    Args:
        fits: Whether so many fit; asked at most `_TRIES` times.
        guess: Where to begin, such as what was planned.
        most: Where to end.

    Returns:
        `samples`, the largest number that fitted (0 where none of those tried did), and `tries`.
        Where tries ran out first, also `limited_by_tries`, with `too_many`: the smallest number
        that did not fit, None where all did.
    """
    low, high, tries = 0, most + 1, 0  # low fits, high does not
    number = max(1, min(guess, most))
    while tries < _TRIES and not _is_close(low, high):
        tries += 1
        if fits(number):
            low = number
        else:
            high = number
        if low and high <= most:
            number = (low + high) // 2
        else:
            number = min(2 * low, most) if low else high // 2
    found: dict[str, Any] = {"samples": low, "tries": tries}
    if not _is_close(low, high):
        found |= {"limited_by_tries": True, "too_many": high if high <= most else None}
    return found


def _is_close(low: int, high: int) -> bool:
    """Whether nothing between the two is worth a try."""
    return high - low <= max(1, low // _SHARE)
