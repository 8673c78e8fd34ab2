"""The folder of one run: where its files are, whether a run may start there, and its recipe.

Does not write checkpoints, metrics or bundles; it only says where they go.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe
from train.errors import TrainingError

# What may differ between the recipe a run was started with and the one that resumes it: these
# change neither the weights nor the order of samples.
_FREE = (
    r"run_dir|device|memory|features|shard|decode_workers|report\.\d+|model\.needs_media"
    r"|stages\.\d+\.(save_every|micro_batch)"
)
_MEASURING = r"(eval_every|ask_every|eval_samples)"  # as long as nothing follows from it
_ABSENT = object()
_TAKEN = {"bundle", "checkpoints"}


class RunFolder:
    """The paths inside a run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.plot = path / "loss.png"
        self.trackers = path / "trackers.json"
        self.recipe = path / "recipe.yaml"
        self.results = path / "results.json"
        self.bundle = path / "bundle"

    def stage_bundle(self, stage: str) -> Path:
        """Where the bundle of one stage goes."""
        return self.path / stage / "bundle"

    def reference(self, stage: str) -> Path:
        """Where the scores of the model at the start of one stage go."""
        return self.path / stage / "reference.safetensors"

    def start(self, stage: str) -> Path:
        """Where the weights of the model at the start of one stage go."""
        return self.path / stage / "start.safetensors"

    def claim(self, *, resume: bool) -> None:
        """Make the folder; raise if a new run would mix with an old one.

        An empty folder may be resumed, so that a scheduler can always pass --resume.

        Raises:
            TrainingError: The folder holds a run and `resume` is not set.
        """
        is_taken = self.path.is_dir() and any(self.path.iterdir())
        if is_taken and not resume:
            raise TrainingError(
                f"run_dir {str(self.path)!r} already holds a run; add --resume to continue it, or "
                "start a new one elsewhere with run_dir=ANOTHER_FOLDER (or remove the folder)"
            )
        self.path.mkdir(parents=True, exist_ok=True)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved recipe: every default filled in, every path absolute."""
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        self.recipe.write_text(text, encoding="utf-8")


def check_stage_names(recipe: Recipe) -> None:
    """Raise if a stage's name cannot name its own folder inside the run's folder.

    Raises:
        RecipeError: Names the stage.
    """
    for stage in recipe.stages:
        if stage.name in _TAKEN or not re.fullmatch(r"[\w-][\w .-]*", stage.name):
            raise RecipeError(
                f"stage name {stage.name!r} cannot name a folder in run_dir; use letters, digits, "
                f"'-' and '_', and none of {', '.join(sorted(_TAKEN))}"
            )


def check_same_recipe(now: Recipe, then: Mapping[str, Any]) -> None:
    """Raise if resuming with this recipe would train something else.

    Args:
        now: The recipe given.
        then: The recipe inside the checkpoint, as JSON values.

    Raises:
        TrainingError: Names the first keys that differ and their values.
    """
    try:  # which also gives an older run the keys that it did not know
        before = Recipe.model_validate(then)
    except ValidationError as error:
        raise TrainingError(
            f"the run was started by a version whose recipe this one cannot read ({error}); finish "
            "it with that version"
        ) from error
    given, started = (dict(leaves(each.model_dump(mode="json"))) for each in (now, before))
    free = re.compile("|".join([_FREE, *_free_measuring(now)]))
    different = [
        f"{key} is {given.get(key)!r}, was {started.get(key)!r}"
        for key in sorted(given.keys() | started.keys())
        if not free.fullmatch(key) and given.get(key, _ABSENT) != started.get(key, _ABSENT)
    ]
    if different:
        raise TrainingError(
            f"cannot resume with another recipe: {'; '.join(different[:5])}. Resume with the "
            "recipe of the run (only run_dir, device, memory, shard, features, decode_workers, "
            "report, micro_batch, and how often stages save, and measure what nothing depends on, "
            "may change), or start a new run in another run_dir"
        )


def _free_measuring(recipe: Recipe) -> list[str]:
    """Patterns of the keys that say what a stage measures, where it keeps its last weights."""
    return [
        rf"stages\.{number}\.{_MEASURING}"
        for number, stage in enumerate(recipe.stages)
        if stage.keep == "last" and stage.patience is None
    ]


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything inside nested objects and lists."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from leaves(item, f"{prefix}.{key}" if prefix else key)
