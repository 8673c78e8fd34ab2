"""What a recipe says by numbers of rows, in numbers, once the data is open and rows are counted.

Does not order rows; `train.data.sampler` does, for any number of steps.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from anymal.errors import RecipeError
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.schema import Recipe, StageRecipe
from anymal.recipe.section import parse_section
from train.data.sources import ENDLESS, Source, StageData


def in_numbers(recipe: Recipe, data: Sequence[StageData]) -> Recipe:
    """The recipe with `steps` in the place of `epochs`, and weights in the place of their rules.

    Args:
        recipe: Any.
        data: Of its stages, as it was opened: rows that a check leaves out count.

    Returns:
        The recipe, every stage with steps, every source with a number as its weight.

    Raises:
        RecipeError: A source has no end, or the warm-up is longer than the stage.
    """
    stages = [
        _in_steps(_weighted(stage, each), each.training)
        for stage, each in zip(recipe.stages, data, strict=True)
    ]
    return recipe.model_copy(update={"stages": stages})


def _weighted(stage: StageRecipe, data: StageData) -> StageRecipe:
    """A stage whose sources have the weights that their sizes give them."""

    def weighted(entries: Sequence[DataRecipe], sources: Sequence[Source]) -> list[DataRecipe]:
        return [
            entry.model_copy(update={"weight": source.weight})
            for entry, source in zip(entries, sources, strict=True)
        ]

    heldout = None if stage.heldout is None else weighted(stage.heldout, data.heldout)
    return stage.model_copy(
        update={"data": weighted(stage.data, data.training), "heldout": heldout}
    )


def _in_steps(stage: StageRecipe, sources: Sequence[Source]) -> StageRecipe:
    """An epoch is as many samples as all sources of the mixture have rows together."""
    if stage.epochs is None:
        return stage
    for source in sources:
        if len(source.records) >= ENDLESS:
            raise RecipeError(
                f"stages.{stage.name}.epochs: the source {source.name} has no end, and therefore "
                "no epochs; give steps"
            )
    rows = sum(len(source.records) for source in sources)
    # As it is written: as a float, 0.1 is a little more than a tenth.
    epochs, samples = Fraction(str(stage.epochs)), stage.batch_size * stage.accumulate
    values = stage.model_dump() | {"epochs": None, "steps": math.ceil(epochs * rows / samples)}
    return parse_section(StageRecipe, values, where=f"stages.{stage.name}")
