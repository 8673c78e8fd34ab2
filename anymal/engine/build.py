"""A language model to the engine that serves it.

Does not know media: prompts come from `anymal.serving.soft_tokens`.
"""

import logging
from collections.abc import Callable, Collection

from anymal.engine.batching import BatchingEngine
from anymal.engine.packed import PackedRunner
from anymal.engine.reply import Vocabulary
from anymal.engine.runner import Runner
from anymal.engine.scheduler import Budget
from anymal.engine.stats import Step
from anymal.engine.unpacked import UnpackedRunner
from anymal.engine.vocabulary import TokenizerVocabulary
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import Unpackable
from anymal.side.base import SideLayers

logger = logging.getLogger(__name__)


def build_engine(
    llm: LLM,
    *,
    side: SideLayers | None = None,
    stop_ids: Collection[int],
    max_tokens: int,
    stop: str = "",
    max_waiting: int = 16,
    cache_bytes: int | None = None,
    budget: Budget | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> BatchingEngine:
    """Start an engine.

    Args:
        llm: In eval mode; nothing else may use it while the engine lives.
        side: What it reads with beside its rows, if anything; likewise.
        stop_ids: Ids that end an answer.
        max_tokens: Most positions of a sequence, where the language model states no end.
        stop: Text that ends an answer, where no id does.
        max_waiting: Most requests that may wait.
        cache_bytes: Size of the key-value cache; None chooses by device and model.
        budget: How much a step may hold; None chooses by device.
        on_step: Called after each step, on the engine's thread.

    Returns:
        The engine. A language model whose attention does not fit blocks is served all the same,
        one request after the other within each step, and the log says so.
    """
    vocabulary = TokenizerVocabulary(llm.tokenizer, stop=stop)
    runner = build_runner(
        llm, side, vocabulary, stop_ids, context=llm.context or max_tokens, cache_bytes=cache_bytes
    )
    if budget is None:
        budget = Budget() if llm.device.type == "cpu" else _GPU
    return BatchingEngine(runner, max_waiting=max_waiting, budget=budget, on_step=on_step)


# Prompts beside answers cost a CPU time by the position, and a GPU hardly any.
_GPU = Budget(max_running=256, step_tokens=4096, beside_decode=1024)


def build_runner(
    llm: LLM,
    side: SideLayers | None,
    vocabulary: Vocabulary,
    stop_ids: Collection[int],
    *,
    context: int,
    cache_bytes: int | None,
) -> Runner:
    """The model's side of an engine; packed where the language model can be run so.

    Args:
        llm: See `build_engine`.
        side: See `build_engine`.
        vocabulary: Ids to text.
        stop_ids: Ids that end an answer.
        context: Most positions of a sequence.
        cache_bytes: See `build_engine`.
    """
    try:
        return PackedRunner(
            llm,
            side=side,
            vocabulary=vocabulary,
            stop_ids=stop_ids,
            context=context,
            cache_bytes=cache_bytes,
        )
    except Unpackable as reason:
        logger.warning(
            "requests are not batched and no prefix is reused: this language model cannot be run "
            "packed, because %s",
            reason,
        )
        return UnpackedRunner(
            llm, side=side, vocabulary=vocabulary, stop_ids=stop_ids, context=context
        )
