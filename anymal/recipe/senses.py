"""What a recipe says of time and sensors: a clock, and media that are measured."""

from collections.abc import Iterable

from pydantic import Field

from anymal.modality import MOST_FACTS
from anymal.recipe.section import Section


class ClockRecipe(Section):
    """How time is cut where a film, its sound and a motion recording are read together."""

    window_s: float = Field(
        gt=0, le=60, allow_inf_nan=False, description="seconds of each window on the clock"
    )


def check_measured(names: Iterable[str]) -> None:
    """Refuse to measure what cannot be measured.

    Args:
        names: Modalities with `facts: true`.

    Raises:
        ValueError: Names the key.
    """
    for name in names:
        if name not in MOST_FACTS:
            known = ", ".join(MOST_FACTS)
            raise ValueError(f"modalities.{name}.facts is true; facts are measured of {known}")


def check_in_row(*, has_clock: bool, has_side: bool) -> None:
    """Refuse to order in time what stands in no row.

    Raises:
        ValueError: Names both keys.
    """
    if has_clock and has_side:
        raise ValueError(
            "model.clock orders media in the row, and with model.side they stand beside it; set "
            "one of them to null"
        )


def check_seen(measured: list[str], *, features: str | None) -> None:
    """Refuse to measure media that are not there.

    Raises:
        ValueError: Names both keys.
    """
    if measured and features is not None:
        raise ValueError(
            f"modalities.{measured[0]}.facts needs media, and features has none; set one of them "
            "to null or false"
        )
