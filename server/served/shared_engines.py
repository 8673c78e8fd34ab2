"""One engine for all bundles whose language model is the same to the last bit.

Does not load bundles. Bundles that differ in encoders and aligners share; one with a LoRA of its
own has other weights, merged or not, and therefore an engine of its own. So has one that reads
media beside the row.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from anymal.assemble import Assembled
from anymal.chat.tokens import tokenizer_digest
from anymal.engine.base import Engine
from anymal.llm.causal_lm import LLM


@dataclass(slots=True, eq=False)
class _Shared:
    """An engine, its language model, and how many use them."""

    engine: Engine
    llm: LLM
    facts: list[Any]
    num_users: int = 0


class SharedEngines:
    """Engines by language model; an engine without users is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[_Shared] = []

    def join(self, assembled: Assembled, start: Callable[[], Engine]) -> Engine:
        """The engine for a model, new or shared.

        Where it is shared, the model's own copy of the language model is dropped for the one that
        the engine runs. Both are in memory until then.

        Args:
            assembled: Loaded to answer.
            start: Starts an engine for it.

        Returns:
            The engine; `leave` gives it back.
        """
        facts, own = _facts(assembled), assembled.model.llm
        with self._lock:
            same = (e for e in self._all if e.facts == facts and _are_equal(e.llm, own))
            shared = next(same, None)
            if shared is None:
                shared = _Shared(engine=start(), llm=own, facts=facts)
                self._all.append(shared)
            assembled.model.llm = shared.llm
            shared.num_users += 1
            return shared.engine

    def leave(self, engine: Engine) -> None:
        """Stop using an engine; its last user closes it."""
        with self._lock:
            shared = next(each for each in self._all if each.engine is engine)
            shared.num_users -= 1
            if shared.num_users:
                return
            self._all.remove(shared)
        engine.close()


def _facts(assembled: Assembled) -> list[Any]:
    """What an engine depends on besides weights."""
    model, processor = assembled.model, assembled.processor
    llm = model.llm
    config = {name: v for name, v in llm.model.config.to_dict().items() if name != "_name_or_path"}
    return [
        config,  # without the path it was loaded from
        llm.precision,
        tokenizer_digest(llm.tokenizer),
        None if llm.extra is None else llm.extra.digest,
        sorted(model.stop_ids),
        processor.template.stop,
        processor.max_tokens,
        llm.device,
        _scales(llm),
        model.side,  # a module, and so equal to itself alone
    ]


def _scales(llm: LLM) -> list[Any]:
    """How much LoRA counts in each layer, by adapter: peft keeps it beside the weights."""
    scales = (getattr(module, "scaling", None) for module in llm.model.modules())
    return [dict(each) for each in scales if isinstance(each, dict)]


def _are_equal(one: LLM, other: LLM) -> bool:
    """Whether two language models have the same weights, LoRA among them."""
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
    )
