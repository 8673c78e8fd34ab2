"""The clock of a model, for media that were recorded at the same time."""

from pydantic import Field

from anymal.recipe.section import Section


class ClockRecipe(Section):
    """How time is cut where a film, its sound and a motion recording are read together."""

    window_s: float = Field(
        gt=0, le=60, allow_inf_nan=False, description="seconds of each window on the clock"
    )
