"""Data sets without a licence.

Does not judge what a licence allows; `anymal.recipe.licences` does.
"""

from collections.abc import Iterator

from anymal.data.checks.mistake import Mistake
from anymal.recipe.licences import UNKNOWN


def licence_mistakes(licence: str) -> Iterator[Mistake]:
    """Find out whether a data set has a licence.

    Args:
        licence: SPDX name, or `unknown`.

    Yields:
        One mistake at most.
    """
    if licence == UNKNOWN:
        yield Mistake(
            kind="licence",
            reason="the licence is not stated",
            change="write its SPDX name into the recipe (licence: CC-BY-4.0), or give --licence",
        )
