"""Checks that layers beside the row, as a recipe describes them, are as large as their weights.

Does not compare them exactly; loading does. Sizes that multiply to more than memory are refused
before anything of them is allocated.
"""

from pathlib import Path

import torch

from anymal.bundle.manifest import SIDE
from anymal.errors import BundleError
from anymal.llm.beside import sizes_of
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import ModelRecipe
from anymal.side.registry import build_side

# After a small change of the recipe, the later error is clearer: it names the weight that differs.
_SLACK_BYTES = 64 * 2**20


def check_side_size(recipe: ModelRecipe, folder: Path) -> None:
    """Refuse layers that would take much more memory than their weights.

    Args:
        recipe: Of the bundle, its paths local.
        folder: Of the bundle.

    Raises:
        BundleError: They are too large.
        RecipeError: They do not fit the language model.
    """
    if recipe.side is None:
        return
    sizes = sizes_of(config_of(recipe.llm.path, recipe.llm.revision))
    with torch.device("meta"):
        side = build_side(recipe.side.kind, sizes=sizes, options=recipe.side.options)
    needed = sum(tensor.nbytes for tensor in side.state_dict().values())
    file = folder / SIDE
    if needed > _SLACK_BYTES + (file.stat().st_size if file.is_file() else 0):
        raise BundleError(
            f"model.side of the bundle {str(folder)!r} takes {needed} bytes, many more than its "
            f"weights in {SIDE}; copy the bundle again"
        )
