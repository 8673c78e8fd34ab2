"""An engine's counters.

Does not measure time on its own account and knows no metrics library.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """An engine at one moment. Counters start with the engine.

    Attributes:
        waiting: Requests that wait.
        running: Requests that hold part of the cache.
        cache_bytes_used: Bytes of keys and values that hold something, reusable or in use.
        cache_bytes_total: Bytes set aside for keys and values.
        prefix_tokens_queried: Prompt positions that were looked up in the prefix cache.
        prefix_tokens_hit: Those of them that were found there.
        preemptions: How often a request gave its blocks back and had to be computed again.
        steps: Forward passes.
        batch_tokens: Positions computed, over all steps.
    """

    waiting: int = 0
    running: int = 0
    cache_bytes_used: int = 0
    cache_bytes_total: int = 0
    prefix_tokens_queried: int = 0
    prefix_tokens_hit: int = 0
    preemptions: int = 0
    steps: int = 0
    batch_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One forward pass, for metrics.

    Attributes:
        num_sequences: Requests that took part.
        num_tokens: Positions computed for them.
        seconds: How long it took, drawing the tokens included.
    """

    num_sequences: int
    num_tokens: int
    seconds: float
