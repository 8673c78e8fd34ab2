"""AdamW for weights that are held in bfloat16: steps are taken on copies in float32.

A step of 2e-5 on a weight of 0.02 is less than half of what bfloat16 can tell apart there, so
without copies most weights would never move. Does not build parameter groups.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_EPS = 1e-8


class CopyingAdamW(torch.optim.Optimizer):
    """`torch.optim.AdamW`, with a float32 copy of each shorter weight in its state.

    Args:
        groups: As for AdamW, each with `lr` and `weight_decay`.
        betas: Decay of the two moments.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # takes no closure
        """Take a step; a weight without a gradient stays.

        Args:
            closure: None.
        """
        assert closure is None, "gradients are there already"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Move one weight: all of them at once would need the gradients in float32 once more."""
        state = self._state(parameter)
        held: Tensor = state.get("copy", parameter)
        assert parameter.grad is not None, "asked before"
        adamw(
            [held],
            [parameter.grad.float()],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            foreach=False,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=_EPS,
            maximize=False,
        )
        if held is not parameter:
            parameter.copy_(held)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put a state back, in float32; torch's own would round it to the dtype of the weights."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.state.clear()
        for number, state in state_dict["state"].items():
            parameter = parameters[number]
            self.state[parameter] = {
                key: value.to(parameter.device if key != "step" else "cpu", torch.float32)
                for key, value in state.items()
            }

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of one weight, new at its first step."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            if parameter.dtype != torch.float32:
                state["copy"] = parameter.detach().float()
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter, dtype=torch.float32)
        return state
