"""What to change so that a run fits: changes are tried in order until one does.

Does not change the recipe.
"""

from typing import Any

from anymal.errors import RecipeError
from anymal.plan.run import Plan, StagePlan, plan_recipe
from anymal.plan.stage import Parts
from anymal.recipe.schema import Recipe
from anymal.recipe.trains import rules_of
from anymal.trainable.rules import LORA

_GB = 1e9
_SMALL_RANK = 16


def check_fits(recipe: Recipe, parts: Parts, plan: Plan) -> None:
    """Raise if a run does not fit.

    Args:
        recipe: What was planned.
        parts: Of its model.
        plan: Its plan.

    Raises:
        RecipeError: It does not fit; the message names the keys to change, which were tried out.
    """
    if plan.fits:
        return
    stage = plan.tightest
    largest = sorted(stage.parts.items(), key=lambda part: -part[1])[:2]
    largest_parts = ", ".join(f"{name} {size / _GB:.1f} GB" for name, size in largest)
    raise RecipeError(
        f"stage {stage.name!r} does not fit: {stage.num_samples} samples of "
        f"{stage.sample_tokens} tokens in one pass take {stage.total / _GB:.1f} GB of "
        f"{plan.device.memory / _GB:.1f} GB ({largest_parts}); {_advice(recipe, parts, plan)}"
    )


def _advice(recipe: Recipe, parts: Parts, plan: Plan) -> str:
    """The first change that makes the stage fit, or the fewest that do so together."""
    stage = plan.tightest

    def fits(changed: dict[str, Any]) -> bool:
        planned = plan_recipe(
            Recipe.model_validate(changed), parts, plan.device, text_tokens=stage.text_tokens
        )
        return _named(planned, stage.name).fits

    changes = _changes(recipe, stage.name)
    for key, value in changes.items():
        if fits(_changed(recipe, {key: value})):
            return f"set {key}={value}"
    if fits(_changed(recipe, changes)):
        for key in reversed(changes):
            fewer = {other: value for other, value in changes.items() if other != key}
            changes = fewer if fits(_changed(recipe, fewer)) else changes
        return "set " + " ".join(f"{key}={value}" for key, value in changes.items())
    return "no setting is enough; use a smaller model.llm.path or a device with more memory"


def _changes(recipe: Recipe, stage_name: str) -> dict[str, Any]:
    """Keys and values that take less memory; those that slow the run down least come first."""
    stage = next(stage for stage in recipe.stages if stage.name == stage_name)
    model, at = recipe.model, f"stages.{stage_name}"
    changes: dict[str, Any] = {}
    if stage.micro_batch != "auto":
        changes[f"{at}.micro_batch"] = "auto"
    if not stage.checkpointing:
        changes[f"{at}.checkpointing"] = "true"
    rules = [rule.what for one in recipe.stages for rule in rules_of(one, model)]
    if not any(what.startswith("llm") and what != LORA for what in rules):  # these cannot train so
        if stage.optimizer == "adamw":
            changes[f"{at}.optimizer"] = "paged_adamw_8bit"
        if model.llm.precision != "nf4":
            changes["model.llm.precision"] = "nf4"
    if model.lora is not None and model.lora.r > _SMALL_RANK:
        changes["model.lora.r"] = _SMALL_RANK
    return changes


def _changed(recipe: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """The recipe's values with some of them changed."""
    values = recipe.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        inner: Any = values
        for name in path:
            is_list = isinstance(inner, list)
            inner = next(i for i in inner if i["name"] == name) if is_list else inner[name]
        inner[last] = value == "true" or value
    return values


def _named(plan: Plan, name: str) -> StagePlan:
    return next(stage for stage in plan.stages if stage.name == name)
