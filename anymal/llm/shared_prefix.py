"""What every sample of a batch begins with, read once and without gradient.

Where only aligners train, nothing before the first soft token changes: the system prompt and what
the template writes have the same keys and values at every step. They are kept by the ids they
belong to, and a batch runs through the language model without these positions.

Shapes: P positions of the prefix; H heads that answer; D width of a head.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from anymal.llm.attention import attention_is
from anymal.llm.causal_lm import LLM
from anymal.llm.packing import KeysValues, causal

_MOST_KEPT = 16


class ConstantPrefixes:
    """Reads prefixes, and keeps those that were read last.

    Args:
        llm: Must not change; `forget` when it did.
    """

    def __init__(self, llm: LLM) -> None:
        self._llm = (llm,)  # in a tuple, so that it is not a module's submodule a second time
        self._kept: OrderedDict[tuple[int, ...], KeysValues] = OrderedDict()

    def read(self, ids: tuple[int, ...]) -> KeysValues:
        """Give the keys and values of a prefix.

        Args:
            ids: Its words.

        Returns:
            What the language model keeps of them.
        """
        found = self._kept.pop(ids, None)
        if found is None:
            found = _read(self._llm[0], ids)
        self._kept[ids] = found
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Keep none of them: the language model changed."""
        self._kept.clear()


class _Reading:
    """An attention that keeps keys and values; see `anymal.llm.attention.Attention`."""

    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def __call__(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scaling: float | None,
        window: int | None,
        others: dict[str, Any],
    ) -> Tensor:
        self.keys[module.layer_idx], self.values[module.layer_idx] = key, value
        return causal(query, key, value, scaling=scaling, window=window)


@torch.no_grad()
def _read(llm: LLM, ids: tuple[int, ...]) -> KeysValues:
    """Run a prefix through the layers."""
    words = torch.tensor(ids, device=llm.device)
    reading = _Reading()
    with attention_is(reading):
        llm.decode(
            llm.embed(words)[None],
            positions=torch.arange(len(ids), device=llm.device)[None],
        )
    return KeysValues(keys=reading.keys, values=reading.values)
