"""The device that a recipe runs on.

Does not put anything there.
"""

import torch

from anymal.recipe.schema import Recipe
from train.errors import TrainingError
from train.ranks.group import local_rank, num_started


def device_of(recipe: Recipe) -> torch.device:
    """The device of a recipe; `auto` is a GPU where there is one.

    Of several processes on one machine, each has the GPU with its number.

    Raises:
        TrainingError: The recipe needs a GPU and there is none, or fewer than processes.
    """
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda, but no GPU is found; set device=cpu or device=auto")
    if recipe.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if num_started() == 1:
        return torch.device("cuda")
    if local_rank() >= torch.cuda.device_count():
        raise TrainingError(
            f"process {local_rank() + 1} of this machine has no GPU; it has "
            f"{torch.cuda.device_count()}: lower --nproc-per-node, or set device=cpu"
        )
    return torch.device("cuda", local_rank())
