"""What a recipe says of what trains in a stage, and what its two shorthands stand for.

Does not look at weights (see `anymal.trainable.rules`).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from anymal.recipe.section import Section
from anymal.trainable.rules import LORA

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe, Recipe, StageRecipe

_SEEING = ("aligners", "encoders")  # parts that only a medium can train
_WILD = re.compile(r"[*?\[]")  # begins what stands for other characters


class TrainRule(Section):
    """Weights that train."""

    what: str = Field(min_length=1, description="a pattern of names, such as aligners.image.*")
    lr: float | None = Field(None, gt=0, description="peak learning rate; null takes the stage's")


def rules_of(stage: "StageRecipe", model: "ModelRecipe") -> tuple[TrainRule, ...]:
    """What trains in a stage, in order: the first rule that matches a weight counts.

    `kind: align` stands for the aligners (those of `modalities`), and what a model has beside
    them to read media and words with, and numbers out: its side, extra tokens and read-outs.
    `kind: instruct` adds LoRA.

    Args:
        stage: Gives the rules, or their shorthand.
        model: What it trains.

    Returns:
        The rules, each with a rate.
    """
    if stage.trains is not None:
        return tuple(
            rule if rule.lr is not None else rule.model_copy(update={"lr": stage.lr})
            for rule in stage.trains
        )
    names = list(model.modalities) if stage.modalities is None else stage.modalities
    what = [f"aligners.{name}.*" for name in names]
    beside = ("side", "extra_tokens", "readouts")
    what += [f"{part}.*" for part in beside if getattr(model, part, None) is not None]
    rules = [TrainRule(what=each, lr=stage.lr) for each in what]
    if stage.kind == "instruct":
        rules.append(TrainRule(what=LORA, lr=stage.lora_lr or stage.lr))
    return tuple(rules)


def need_media(rules: Sequence[TrainRule]) -> bool:
    """Whether only media can train what rules name: aligners and encoders."""
    return all(rule.what.partition(".")[0] in _SEEING for rule in rules)


def trained_encoders(rules: Sequence[TrainRule], modalities: Sequence[str]) -> list[str]:
    """The modalities whose encoders rules name, or may name.

    Args:
        rules: Of a stage.
        modalities: Of the model.
    """
    return [
        name
        for name in modalities
        if any(_may_name(rule.what, f"encoders.{name}.") for rule in rules)
    ]


def _may_name(pattern: str, part: str) -> bool:
    """Whether a pattern may match a name in a part of the model, which ends with a dot."""
    literal = _WILD.split(pattern, maxsplit=1)[0]
    if literal == pattern:  # a name, or a part of it up to a dot
        literal += "."
    return part.startswith(literal) or literal.startswith(part)


def encoders_that_train(recipe: "Recipe") -> set[str]:
    """The modalities whose encoders train in any stage."""
    names = list(recipe.model.modalities)
    rules = [rule for stage in recipe.stages for rule in rules_of(stage, recipe.model)]
    return set(trained_encoders(rules, names))


def check_trains(recipe: "Recipe") -> None:
    """Refuse rules that the rest of a recipe contradicts.

    Raises:
        ValueError: They do; the message names both keys.
    """
    model = recipe.model
    for stage in recipe.stages:
        rules, key = rules_of(stage, model), f"stages.{stage.name}.trains"
        for rule in rules:
            is_whole = rule.what in ("llm", "llm.*")
            if is_whole and model.llm.precision in ("nf4", "int8"):
                raise ValueError(
                    f"{key}: {rule.what} with model.llm.precision {model.llm.precision}: such a "
                    "weight cannot take a step; train llm.lora (with model.lora) instead, or set "
                    "model.llm.precision to bf16 or fp32"
                )
        if stage.objective == "words" and not need_media(rules):
            raise ValueError(
                f"{key}: objective: words trains aligners and encoders alone; leave the rest out"
            )
        encoders = trained_encoders(rules, list(model.modalities))
        if recipe.features is not None and encoders:
            raise ValueError(
                f"{key} lets the encoder of {', '.join(encoders)} train, and features has what it "
                "gave before; set features to null, or leave the encoder out"
            )
