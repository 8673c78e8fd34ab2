"""Muon in float32: momentum whose update is orthogonalised, for the matrices of a small model.

The same rule as `torch.optim.Muon`, which orthogonalises in bfloat16; a CPU without bfloat16
arithmetic takes twenty times as long for that as for the same in float32. Matrices of one shape
are orthogonalised together.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

# Of the quintic iteration; they rise steeply at zero rather than come to exactly one.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Args:
        parameters: Matrices.
        lr: Size of an update whose singular values are about one; matrices that are taller than
            wide take it times the square root of that ratio.
        momentum: Decay of the running gradient.
        weight_decay: Share of a weight taken away, times the rate.

    Raises:
        ValueError: A parameter is not a matrix.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    shape = tuple(parameter.shape)
                    raise ValueError(f"Muon is for matrices; got the shape {shape}")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no loss to return
        """Update every parameter that has a gradient."""
        assert closure is None, "gradients are computed before the step"
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            given.sort(key=lambda p: tuple(p.shape))
            for shape, same in groupby(given, key=lambda p: tuple(p.shape)):
                rows, columns = shape
                alike = list(same)
                updates = orthogonalised(
                    torch.stack([self._direction(p, group["momentum"]) for p in alike])
                )
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(alike, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-rate)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """The gradient, looked ahead along its running mean."""
        gradient = parameter.grad
        assert gradient is not None, "step() leaves those without one out"
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        running: Tensor = state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(running, momentum)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices near one and leave their directions.

    Args:
        matrices: `[N, R, C]` float.

    Returns:
        `[N, R, C]` float, with singular values between about 0.7 and 1.2.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    flat = matrices.mT if is_tall else matrices
    flat = flat / flat.norm(dim=(-2, -1), keepdim=True).clamp(min=_SMALLEST_NORM)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = flat @ flat.mT
        flat = torch.baddbmm(flat, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat.mT if is_tall else flat
