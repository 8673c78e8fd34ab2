"""The one table of kinds of layers beside a language model."""

from collections.abc import Callable, Mapping
from typing import Any

from anymal.side.base import SideLayers
from anymal.side.cross import Cross
from anymal.side.prefix import Prefix
from anymal.side.sizes import DecoderSizes

SIDES: dict[str, Callable[..., SideLayers]] = {"cross": Cross, "prefix": Prefix}


def build_side(kind: str, *, sizes: DecoderSizes, options: Mapping[str, Any]) -> SideLayers:
    """Build layers with fresh weights from the global random state.

    Args:
        kind: A key of `SIDES`.
        sizes: Of the language model.
        options: Keyword arguments of the kind, as the recipe's section checked them.

    Returns:
        The layers, on the CPU in float32.

    Raises:
        RecipeError: They do not fit the language model.
    """
    return SIDES[kind](sizes=sizes, **options)
