"""transformers' auto class of causal language models, with those that it does not list.

Does not load models.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.kosmos2.configuration_kosmos2 import Kosmos2TextConfig
from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2TextForCausalLM


class Kosmos2Text(Kosmos2TextForCausalLM):  # type: ignore[no-untyped-call]  # untyped there
    """Kosmos-2's language model, which finds its layers and is told positions from 0 on.

    The class itself counts them from behind its padding id, and looks for its layers elsewhere.
    """

    base_model_prefix = "model"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._first: int = config.pad_token_id + 1
        self.model.register_forward_pre_hook(self._from_its_first_position, with_kwargs=True)

    def _from_its_first_position(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the layers with positions as they count them."""
        positions: torch.Tensor | None = kwargs.get("position_ids")
        if positions is None:
            return args, kwargs
        return args, {**kwargs, "position_ids": positions + self._first}


def auto_causal_lm() -> Any:
    """The auto class, untyped there; those that it lacks are made known to it at the first call."""
    AutoModelForCausalLM.register(Kosmos2TextConfig, Kosmos2Text, exist_ok=True)
    return AutoModelForCausalLM
