"""What a recipe says of time and sensors: a clock, and media that are measured."""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from anymal.modality import MOST_FACTS
from anymal.recipe.section import Section


class ClockRecipe(Section):
    """How time is cut where a film, its sound and a motion recording are read together."""

    window_s: float = Field(
        gt=0, le=60, allow_inf_nan=False, description="seconds of each window on the clock"
    )


class _Model(Protocol):
    """The section `model` of a recipe."""

    modalities: Mapping[str, Any]
    clock: ClockRecipe | None
    side: Any


def check_senses(model: _Model) -> None:
    """Refuse to measure what cannot be measured, and to order in time what stands in no row.

    Raises:
        ValueError: Names the keys.
    """
    for name, modality in model.modalities.items():
        if modality.facts and name not in MOST_FACTS:
            known = ", ".join(MOST_FACTS)
            raise ValueError(f"modalities.{name}.facts is true; facts are measured of {known}")
    if model.clock is not None and model.side is not None:
        raise ValueError(
            "model.clock orders media in the row, and with model.side they stand beside it; set "
            "one of them to null"
        )
