"""How many samples go through the model in one pass, and whether a run fits at all.

Does not cut batches (see `train.feed`) and does not plan (see `anymal.plan`).
"""

from anymal.plan.advice import check_fits
from anymal.plan.device import DeviceType
from anymal.plan.run import device_for, measure_parts, plan_recipe
from anymal.recipe import Recipe, StageRecipe
from train.device import device_of


def refuse_what_cannot_fit(recipe: Recipe) -> None:
    """Plan a run before anything of it is loaded, on a GPU or where `memory` says what there is.

    A CPU without `memory` is let be: the system may still make room.

    Args:
        recipe: The resolved recipe.

    Raises:
        RecipeError: It cannot fit; the message names the key to change.
        TrainingError: The recipe asks for a GPU and there is none.
    """
    kind = _kind(recipe)
    if kind == "cpu" and recipe.memory is None:
        return
    parts = measure_parts(recipe.model)
    check_fits(recipe, parts, plan_recipe(recipe, parts, device_for(recipe, kind)))


def resolve(recipe: Recipe, stage: StageRecipe) -> int:
    """Work out the most samples of one forward and backward pass.

    Args:
        recipe: The resolved recipe.
        stage: One of its stages.

    Returns:
        `micro_batch` where it is a number, the whole batch where it is null; for `auto` what the
        plan says will fit, never more than a batch.

    Raises:
        RecipeError: Not one sample fits; the message names the key to change.
        TrainingError: The recipe asks for a GPU and there is none.
    """
    if stage.micro_batch is None:
        return stage.batch_size
    if stage.micro_batch != "auto":
        return min(stage.micro_batch, stage.batch_size)
    alone = recipe.model_copy(update={"stages": [stage]})
    parts = measure_parts(recipe.model)
    plan = plan_recipe(alone, parts, device_for(recipe, _kind(recipe)))
    check_fits(alone, parts, plan)
    return plan.stages[0].num_samples


def _kind(recipe: Recipe) -> DeviceType:
    """The device, as plans know it."""
    return "cuda" if device_of(recipe).type == "cuda" else "cpu"
