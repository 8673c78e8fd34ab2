"""The device that a recipe runs on.

Does not put anything there.
"""

import torch

from anymal.recipe.schema import Recipe
from train.errors import TrainingError


def device_of(recipe: Recipe) -> torch.device:
    """The device of a recipe; `auto` is a GPU where there is one.

    Raises:
        TrainingError: The recipe needs a GPU and there is none.
    """
    if recipe.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda, but no GPU is found; set device=cpu or device=auto")
    return torch.device(recipe.device)
