"""Activations, norms and the start of a scale, by the names that recipes give them.

Holds no aligner.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from aligners.limits import AlignerError

Activation = Literal["gelu", "silu", "relu", "squared_relu", "swiglu"]
Norm = Literal["none", "standard", "layer", "rms"]
Start = Literal["rms", "plain"]


class _SwiGLU(nn.Module):
    """The first half of a row, times the activation of its second half."""

    def forward(self, rows: Tensor) -> Tensor:
        """`[..., 2 D]` to `[..., D]`."""
        values, gate = rows.chunk(2, dim=-1)
        return F.silu(gate) * values


class _SquaredReLU(nn.Module):
    """The square of what is positive (arXiv 2109.08668); Flamingo's."""

    def forward(self, rows: Tensor) -> Tensor:
        """`[..., D]` to `[..., D]`."""
        return F.relu(rows).square()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "squared_relu": _SquaredReLU,
    "swiglu": _SwiGLU,
}
# `standard` has no weights.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    "standard": lambda width: nn.LayerNorm(width, elementwise_affine=False),
    "layer": nn.LayerNorm,
    "rms": lambda width: nn.RMSNorm(width, eps=1e-6),
}


def check_known(name: str, given: str, known: Sequence[str]) -> None:
    """Refuse an option whose value no aligner has.

    Args:
        name: Of the option.
        given: Its value.
        known: The values that there are.

    Raises:
        AlignerError: It is none of them.
    """
    if given not in known:
        raise AlignerError(f"unknown {name} '{given}'; known: {', '.join(known)}")


def check_at_least(least: int, **sizes: int) -> None:
    """Refuse sizes that are too small.

    Args:
        least: The smallest that is allowed.
        sizes: By the names of the options.

    Raises:
        AlignerError: One is smaller.
    """
    for name, size in sizes.items():
        if size < least:
            raise AlignerError(f"{name} is {size}; it must be at least {least}")
