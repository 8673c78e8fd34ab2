"""Which device a recipe means.

Does not put anything there.
"""

import torch

from anymal.recipe.schema import Recipe
from train.errors import TrainingError


def device_of(recipe: Recipe) -> torch.device:
    """Return the device of a recipe; auto takes a GPU where there is one.

    Raises:
        TrainingError: The recipe asks for a GPU and there is none.
    """
    if recipe.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda, but no GPU is found; set device=cpu or device=auto")
    return torch.device(recipe.device)
