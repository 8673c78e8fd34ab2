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

from anymal.plan.aligner import measure_aligner
from anymal.plan.device import Device
from anymal.plan.language_model import read_language_model
from anymal.plan.stage import Parts, Pass, StageMemory
from anymal.recipe import Recipe
from benchmarks.gpu_shape import Shape
from benchmarks.gpu_train import stage_of

CAP = 80 * 10**9
_TRIES = 3  # each is a step of a whole card
_STRIDE = 1 / 16  # of the largest micro-batch; how exactly it is found


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
        num_features=num_features,
        llm_dim=llm.embedding_dim,
    )
    parts = Parts(llm=llm, encoders={}, aligners={"image": sizes})
    kind = "cuda" if device.type == "cuda" else "cpu"
    return StageMemory(stage, recipe, parts, Device(type=kind, memory=CAP))


def pass_of(shape: Shape, num_samples: int) -> Pass:
    """So many samples, as the plan knows them."""
    return Pass(
        num_samples=num_samples,
        text_tokens=shape.before + shape.after,
        max_tokens=shape.sample,
    )


def attempt(work: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Do some work; lack of memory is a result.

    Args:
        work: Returns figures.
        device: Where.

    Returns:
        The figures with seconds and, on a GPU, the peak; or `out_of_memory`.
    """
    release(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    try:
        found = work()
    except torch.OutOfMemoryError:
        found = {"out_of_memory": True}
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        found["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        found["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return {**found, "seconds": round(time.perf_counter() - start, 4)}


def release(device: torch.device) -> None:
    """Give back what nobody refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def largest(runs: Callable[[int], bool], *, guess: int, most: int) -> int:
    """Find the largest number of samples that fits, from a guess, to a sixteenth.

    Args:
        runs: Whether so many fit; asked at most `_TRIES` times.
        guess: Where to begin, such as what was planned.
        most: Where to end.

    Returns:
        The largest number that ran; 0 where none of those tried did.
    """
    number, best = max(1, min(guess, most)), 0
    for _ in range(_TRIES):
        stride = max(1, int(number * _STRIDE))
        if runs(number):
            best = number
            if number == most:
                break
            number = min(most, number + stride)
        else:
            if best or number == 1:
                break
            number -= stride
    return best
