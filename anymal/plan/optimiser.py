"""What training holds for each parameter that trains: a gradient and the optimiser's memory.

Does not count the parameters.
"""

from typing import Literal

_FLOAT = 4
_BLOCK = 256  # of 8-bit states: one float32 scale for each


def gradient_bytes(num_trainable: int) -> int:
    """Bytes of the gradients, in float32."""
    return _FLOAT * num_trainable


def optimiser_bytes(num_trainable: int, kind: Literal["adamw", "paged_adamw_8bit"]) -> int:
    """Bytes of Adam's two moments.

    Args:
        num_trainable: Parameters.
        kind: Of optimiser; small tensors of the 8-bit one stay in float32, which is not counted.

    Returns:
        Bytes, as if nothing of them were paged out.
    """
    if kind == "adamw":
        return 2 * _FLOAT * num_trainable
    return 2 * (num_trainable + _FLOAT * num_trainable // _BLOCK)
