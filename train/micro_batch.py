"""How many samples go through the model in one pass, and whether a run fits at all.

Does not cut batches (see `train.data.feed`) and does not plan (see `anymal.plan`).
"""

from collections.abc import Callable
from dataclasses import replace

from anymal.errors import RecipeError
from anymal.plan.advice import check_fits
from anymal.plan.device import Device, DeviceType, memory_of
from anymal.plan.run import Plan, device_for, measure_parts, plan_recipe
from anymal.plan.stage import Parts
from anymal.recipe.schema import Recipe, StageRecipe
from train.device import device_of
from train.ranks.group import num_started


def refuse_what_cannot_fit(recipe: Recipe, *, say: Callable[[str], None]) -> None:
    """Plan a run before anything is loaded, on a GPU or where the recipe sets `memory`.

    A CPU without `memory` is not checked, because the system may still make room; nor is a model of
    unknown size, unless `memory` or a `micro_batch` of `auto` needs a plan.

    Args:
        recipe: The resolved recipe.
        say: Called with a message for the user if there is no plan.

    Raises:
        RecipeError: It cannot fit; the message names the key to change. Or it cannot be planned.
        TrainingError: The recipe needs a GPU and there is none.
    """
    if _kind(recipe) == "cpu" and recipe.memory is None:
        return
    try:
        parts, plan = _plan(recipe)
    except RecipeError as error:
        if recipe.memory is not None or any(s.micro_batch == "auto" for s in recipe.stages):
            raise
        say(f"memory is not planned: {error}")
        return
    check_fits(recipe, parts, plan)


def micro_batch_size(recipe: Recipe, stage: StageRecipe) -> int:
    """Work out how many samples go through the model in one forward and backward pass.

    Args:
        recipe: The resolved recipe.
        stage: One of its stages.

    Returns:
        `micro_batch` where it is a number, the whole batch where it is null; for `auto` the
        most that the plan says will fit, but no more than a batch.

    Raises:
        RecipeError: Not one sample fits; the message names the key to change.
        TrainingError: The recipe needs a GPU and there is none.
    """
    if stage.micro_batch is None:
        return stage.batch_size
    if stage.micro_batch != "auto":
        return min(stage.micro_batch, stage.batch_size)
    parts, plan = _plan(recipe)
    own = next(one for one in plan.stages if one.name == stage.name)
    check_fits(recipe, parts, Plan(device=plan.device, stages=(own,)))
    return own.num_samples


def _plan(recipe: Recipe) -> tuple[Parts, Plan]:
    """Plan every stage, because what an earlier one loads stays on the device in later ones."""
    parts = measure_parts(recipe.model)
    return parts, plan_recipe(recipe, parts, _device(recipe))


def _device(recipe: Recipe) -> Device:
    """The device of the run; `memory` may be less than a GPU has, but not more."""
    kind = _kind(recipe)
    stated = device_for(recipe, kind, ranks=num_started())
    if kind == "cpu":  # the system may still make room
        return stated
    return replace(stated, memory=min(stated.memory, memory_of(kind)))


def _kind(recipe: Recipe) -> DeviceType:
    """The type of the device."""
    return "cuda" if device_of(recipe).type == "cuda" else "cpu"
