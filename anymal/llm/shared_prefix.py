"""The prefix that all samples of a batch share, read once and without gradient.

Where only aligners train, nothing before the first soft token changes: the system prompt and what
the template writes have the same keys and values at every step. They are kept by the ids they
belong to, and a batch runs through the language model without these positions.

Shapes: P positions of the prefix; H heads that answer; D width of a head.
"""

from collections import OrderedDict

import torch
from torch import Tensor

from anymal.llm.attention import AttentionCall, attention_is
from anymal.llm.causal_lm import LLM
from anymal.llm.packing import KeysValues, causal

_MOST_KEPT = 16


class SharedPrefixes:
    """Reads prefixes, and keeps those that were read last.

    Args:
        llm: Must not change; `forget` when it did.
    """

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
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
            found = _read(self._llm, ids)
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

    def __call__(self, call: AttentionCall) -> Tensor:
        assert call.layer is not None, "the self-test refuses layers without numbers"
        self.keys[call.layer], self.values[call.layer] = call.key, call.value
        return causal(call.query, call.key, call.value, scaling=call.scaling, window=call.window)


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
