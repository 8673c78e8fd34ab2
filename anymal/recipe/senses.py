"""What a recipe says of time and sensors: a clock, and media that are measured."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from anymal.modality import MOST_FACTS
from anymal.recipe.section import Section


class ClockRecipe(Section):
    """How time is cut where a film, its sound and a motion recording are read together."""

    window_s: float = Field(
        gt=0, le=60, allow_inf_nan=False, description="seconds of each window on the clock"
    )


def check_senses(
    modalities: Mapping[str, Any], *, clock: ClockRecipe | None, side: object | None
) -> None:
    """Refuse to measure what cannot be measured, and to order in time what stands in no row.

    Args:
        modalities: Sections of the recipe, by name.
        clock: Of the model.
        side: Of the model.

    Raises:
        ValueError: Names the keys.
    """
    for name, modality in modalities.items():
        if modality.facts and name not in MOST_FACTS:
            known = ", ".join(MOST_FACTS)
            raise ValueError(f"modalities.{name}.facts is true; facts are measured of {known}")
    if clock is not None and side is not None:
        raise ValueError(
            "model.clock orders media in the row, and with model.side they stand beside it; set "
            "one of them to null"
        )
