"""What has to hold before several ranks train one run: each refusal names the key to change.

Does not find the ranks (see `train.ranks.group`).
"""

import hashlib
import json
from collections.abc import Sequence

import torch

from anymal.errors import RecipeError
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.reinforce import ReinforceRecipe
from anymal.recipe.schema import Recipe
from train.checkpoint import Checkpoint
from train.data.sources import StageData
from train.errors import TrainingError
from train.ranks.group import Ranks

SHARDS_FROM = "2.13"  # before, fully_shard refuses frozen weights that are no floats


def check_ranks(recipe: Recipe, ranks: Ranks) -> None:
    """Refuse a recipe that so many ranks cannot run.

    Raises:
        RecipeError: Names the key.
        TrainingError: PyTorch is too old to shard.
    """
    for stage in recipe.stages:
        if ranks.size > 1 and isinstance(stage.objective, ReinforceRecipe):
            raise RecipeError(
                f"stages.{stage.name}.objective: {stage.objective.kind} answers and grades in one "
                "process; start the run without torchrun"
            )
        if stage.batch_size < ranks.size:
            raise RecipeError(
                f"stages.{stage.name}.batch_size is {stage.batch_size}, fewer than the "
                f"{ranks.size} ranks; raise it, or lower --nproc-per-node"
            )
    if recipe.shard:
        _check_shard(recipe, ranks)


def _check_shard(recipe: Recipe, ranks: Ranks) -> None:
    """Refuse to shard where it cannot be right."""
    if ranks.size == 1:
        raise RecipeError(
            "shard: true needs several processes; start them by torchrun --nproc-per-node N -m "
            "anymal train, or set shard: false"
        )
    if torch.__version__ < SHARDS_FROM:  # compares versions, not words
        raise TrainingError(
            f"shard: true needs torch {SHARDS_FROM} or later, here is {torch.__version__}; "
            "install it, or set shard: false"
        )
    if recipe.model.llm.precision != "nf4":
        raise RecipeError(
            f"model.llm.precision is {recipe.model.llm.precision}, and shard: true is for nf4; "
            "set shard: false"
        )
    for stage in recipe.stages:
        where = f"stages.{stage.name}"
        if stage.batch_size % ranks.size:
            raise RecipeError(
                f"{where}.batch_size is {stage.batch_size}; with shard: true every rank runs as "
                f"many samples, so it has to be divisible by {ranks.size}"
            )
        if stage.ask_every is not None:
            raise RecipeError(
                f"{where}.ask_every: a sharded model answers no questions; set ask_every: null, "
                "and ask the bundle by anymal eval"
            )
        if isinstance(stage.objective, PreferenceRecipe):
            raise RecipeError(
                f"{where}.objective: preference scores its reference on one rank, which holds a "
                "part of a sharded model; set shard: false"
            )


def check_agreement(
    recipe: Recipe, data: Sequence[StageData], checkpoint: Checkpoint | None, ranks: Ranks
) -> None:
    """Refuse ranks that would train different things.

    Raises:
        TrainingError: Names the ranks and what differs.
    """
    facts = {
        "recipe": _digest(recipe.model_dump(mode="json")),
        "number of rows": [[len(source.records) for source in stage.all] for stage in data],
        "step of the last checkpoint": None if checkpoint is None else checkpoint.total_step,
    }
    told = ranks.gather(facts)
    for rank, other in enumerate(told):
        different = [name for name, value in told[0].items() if other[name] != value]
        if different:
            raise TrainingError(
                f"ranks 0 and {rank} differ in the {' and the '.join(different)}; give every "
                "process the same command, the same version and the same files"
            )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
