"""Attention of our own inside a language model of transformers; nothing else of the model is ours.

Does not compute anything: what is active on the thread does, as `anymal.engine.attention` for
serving and `anymal.llm.packing` for training. On other threads, and while nothing is active,
the model is what it was.

Shapes: B rows, T positions of a row; Hq heads that ask and H that answer; D width of a head.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from anymal.side.base import Side, active_side, read_beside, side_is

NAME = "anymal"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttentionCall:
    """What a layer gives its attention function.

    Attributes:
        layer: Its number.
        query: `[B, Hq, T, D]`.
        key: `[B, H, T, D]`.
        value: As `key`.
        scaling: Of the scores; None is one over the square root of D.
        window: How many positions back each may read, itself included; None is all.
        others: Arguments that only some models give, by transformers' names.
    """

    layer: int | None
    query: Tensor
    key: Tensor
    value: Tensor
    scaling: float | None
    window: int | None
    others: Mapping[str, Any]


# From a call to `[B, T, Hq, D]`.
Attention = Callable[[AttentionCall], Tensor]


_active = threading.local()


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The attention function, as transformers calls it."""
    attention, layer = _current(), getattr(module, "layer_idx", None)
    if attention is None:
        out: Tensor = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask, scaling=scaling, **others
        )[0]
    else:
        out = attention(
            AttentionCall(
                layer=layer,
                query=query,
                key=key,
                value=value,
                scaling=scaling,
                window=sliding_window,
                others=others,
            )
        )
    return read_beside(layer, query, out, scaling=scaling), None


def install(configs: Sequence[Any]) -> None:
    """Make `attend` the attention function of a model, for good.

    Args:
        configs: The configurations that the model's layers look at.
    """
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _mask)
    for config in configs:
        config._attn_implementation = NAME


@contextmanager
def attention_is(attention: Attention | None) -> Iterator[None]:
    """Let models attend our way on this thread.

    Args:
        attention: What `attend` calls; None leaves the model's own.
    """
    before = _current()
    _active.attention = attention
    try:
        yield
    finally:
        _active.attention = before


def same_attention_again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For torch's checkpointing: what is computed again attends and reads beside as it does now.

    The backward pass runs later and, on CUDA, on a thread of its own.

    Returns:
        Contexts of the first computation and of the second.
    """
    return nullcontext(), _as_it_was(_current(), active_side())


@contextmanager
def _as_it_was(attention: Attention | None, side: Side | None) -> Iterator[None]:
    with attention_is(attention), side_is(side):
        yield


def _current() -> Attention | None:
    """What is active on this thread."""
    return getattr(_active, "attention", None)


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The mask for `attend`: an attention of ours has its own."""
    if _current() is not None:
        return None
    mask: Tensor | None = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](*args, **kwargs)
    return mask
