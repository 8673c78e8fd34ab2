"""One trial of a comparison of small models: train a recipe, ask its held-out questions.

Does not know what is compared; see `senses` and `connectors`.
"""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from anymal.evaluation.results import Results
from anymal.recipe.schema import Recipe
from train.run import run


def trained(recipe: Recipe, console: Console) -> tuple[Path, list[dict[str, Any]]]:
    """Train and ask.

    Returns:
        The bundle's folder, and of each held-out source: right answers, answers, chance, and by
        kind of question.
    """
    bundle = run(recipe, resume=False, console=console)
    results = Results.read(bundle.parent / "results.json")
    return bundle, [
        {
            "task": task.name,
            "correct": task.score.correct,
            "n": task.score.n,
            "chance": task.chance,
            "blank": task.controls["blank"].model_dump(),
            "kinds": {kind: share.model_dump() for kind, share in task.breakdown.items()},
        }
        for task in results.tasks
    ]


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "threads": torch.get_num_threads(),
    }
