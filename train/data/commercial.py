"""Whether all that a model learns from may be used commercially, by the licences that are stated.

Gives no legal advice, and does not look at the licences of language models and encoders.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anymal.errors import RecipeError
from anymal.recipe.licences import UNKNOWN, why_not_commercial
from train.data.sources import StageData


def refuse_non_commercial(
    data: Sequence[StageData], before: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Refuse training data that may not be used commercially.

    Args:
        data: The opened data of all stages.
        before: What the bundle that the run starts from was trained on, as it records it.

    Raises:
        RecipeError: There are such; the message names each, with its licence.
    """
    named = dict.fromkeys([*_of_stages(data), *_of_bundle(before)])
    if named:
        raise RecipeError(
            f"not for commercial use: {'; '.join(named)}. Leave them out, write the SPDX name of "
            "the licence into their entry if it is another, or train without --commercial"
        )


def _of_stages(data: Sequence[StageData]) -> Iterator[str]:
    """The sources of this run that may not be used, and why."""
    for source in (source for stage in data for source in stage.learnt_from):
        if (why := why_not_commercial(source.licence)) is not None:
            yield f"{source.name} ({source.origin}): {why}"


def _of_bundle(before: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The sources of the bundle that may not be used, and why."""
    for source in before:
        if (why := why_not_commercial(str(source.get("licence", UNKNOWN)))) is not None:
            yield f"{source.get('name', 'a source')} of the bundle in start_from: {why}"
