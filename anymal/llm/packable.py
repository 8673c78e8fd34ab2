"""Whether a language model can be run on packed rows, found out before the first request.

Checks what a configuration says, then what one forward pass shows. The engine's self-test
(`anymal.engine.packed`) compares packed and single sequences.

Shapes: T positions, D_llm embedding width, D layer width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from anymal.errors import EngineError
from anymal.llm.attention import AttentionCall, attention_is, install
from anymal.llm.causal_lm import LLM

# Frequencies that follow the longest sequence of a batch would let requests change each other.
_ROPE_OF_LENGTH = ("dynamic", "longrope")
# What attention functions are given by models whose attention is more than softmax(q k) v.
_REFUSED = ("softcap", "s_aux", "sinks", "position_bias", "alibi", "head_mask", "block_mask")
_LAYERS = {"full_attention", "sliding_attention"}


class Unpackable(EngineError):
    """The model cannot be run on packed rows; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """What one layer keeps of each position."""

    num_heads: int
    key_dim: int
    value_dim: int


def configs_of(llm: LLM) -> list[Any]:
    """The configurations that the model's layers look at."""
    found = {id(m.config): m.config for m in llm.model.modules() if hasattr(m, "config")}
    return [config for config in found.values() if hasattr(config, "_attn_implementation")]


@contextmanager
def same_attention(llm: LLM) -> Iterator[None]:
    """Restore a model's attention function at the end, whatever was set in between."""
    configs = configs_of(llm)
    before = [config._attn_implementation for config in configs]
    try:
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name


@contextmanager
def installed(llm: LLM) -> Iterator[None]:
    """Give a model our attention function; take it back if what is done with it fails."""
    configs = configs_of(llm)
    before = [config._attn_implementation for config in configs]
    install(configs)
    try:
        yield
    except BaseException:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name
        raise


def layer_shapes(llm: LLM) -> tuple[dict[int, LayerShape], torch.dtype]:
    """What each layer keeps of a position, and its dtype, as one forward pass shows it.

    Raises:
        Unpackable: The model attends in a way that packing would get wrong.
    """
    _check_config(llm)
    seen = _Seen()
    rows, positions = word_rows(llm, 2), first_positions(llm, 2)
    try:
        with torch.no_grad(), attention_is(seen):
            llm.decode(rows, positions=positions, cache=None)
    except (Unpackable, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the model's own code may do anything with the mask it lacks
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise Unpackable(f"its attention needs a mask of its own ({why})") from error
    _check_windows(llm, seen)
    if seen.dtype is None:
        raise Unpackable("its attention does not go through transformers' attention interface")
    return seen.shapes, seen.dtype


_SETTLED = 8  # words at the beginning that rounding may move far


def check_same(packed: Tensor, alone: Tensor, *, is_exact: bool) -> None:
    """Compare what a model made of one sequence.

    Args:
        packed: `[T, D]`, among others.
        alone: `[T, D]`, by itself.
        is_exact: Whether its weights are float32.

    Raises:
        Unpackable: They differ.
    """
    packed, alone = packed.double(), alone.double()
    # Not by a norm of zero, which a word has whose embedding is zero, as of padding it often is.
    size = alone.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    errors = (packed - alone).norm(dim=-1) / size
    # Where layers round, a sum in another order can move one of the first words far: there is
    # little yet to attend to. What is wrong moves most of them, or a later one.
    judged = errors if is_exact else torch.cat([errors.median()[None], errors[_SETTLED:]])
    error = float(judged.max())
    allowed = 1e-3 if is_exact else 0.1
    if not error <= allowed:
        raise Unpackable(
            f"run packed, its hidden states differ by {error:.1g} of their size from those that it "
            f"computes alone (allowed: {allowed:g})"
        )


def word_rows(llm: LLM, number: int) -> Tensor:
    """`[1, T, D_llm]`: some words of the vocabulary."""
    ids = torch.arange(number, device=llm.device) * 7 % llm.vocab_size
    return llm.embed(ids)[None]


def first_positions(llm: LLM, number: int) -> Tensor:
    """`[1, T]`: positions of a sequence from its beginning."""
    return torch.arange(number, device=llm.device)[None]


class _Seen:
    """An attention that notes what it is called with; see `anymal.llm.attention.Attention`."""

    def __init__(self) -> None:
        self.shapes: dict[int, LayerShape] = {}
        self.windows: set[int] = set()
        self.dtype: torch.dtype | None = None

    def __call__(self, call: AttentionCall) -> Tensor:
        query, key, value = call.query, call.key, call.value
        if refused := [name for name in _REFUSED if call.others.get(name) is not None]:
            raise Unpackable(f"its attention needs {', '.join(refused)}")
        if call.layer is None or call.layer in self.shapes:
            raise Unpackable("its layers have no numbers of their own to keep keys and values by")
        self.shapes[call.layer] = LayerShape(
            num_heads=key.shape[1], key_dim=key.shape[-1], value_dim=value.shape[-1]
        )
        self.dtype = key.dtype
        if call.window is not None:
            self.windows.add(call.window)
        groups = query.shape[1] // key.shape[1]
        keys, values = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        out = scaled_dot_product_attention(query, keys, values, is_causal=True, scale=call.scaling)
        return out.transpose(1, 2)


def _check_config(llm: LLM) -> None:
    """Refuse what a short self-test would not show."""
    if not llm.takes_positions:
        raise Unpackable("it cannot be told positions")
    for config in configs_of(llm):
        for reason in _reasons(config):
            raise Unpackable(reason)


def _reasons(config: Any) -> Iterator[str]:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for part in (rope, *rope.values()):
        if isinstance(part, dict) and part.get("rope_type", part.get("type")) in _ROPE_OF_LENGTH:
            yield "its rotary positions depend on the longest sequence of a batch"
    if getattr(config, "attention_chunk_size", None):
        yield "it attends in chunks"
    if unknown := set(getattr(config, "layer_types", None) or ()) - _LAYERS:
        yield f"it has layers of type {', '.join(sorted(unknown))}"


def _check_windows(llm: LLM, seen: _Seen) -> None:
    """A window that is configured must reach the attention function, or it would be ignored."""
    for config in configs_of(llm):
        types = getattr(config, "layer_types", None)
        slides = "sliding_attention" in types if types else True
        window = getattr(config, "sliding_window", None)
        is_used = getattr(config, "use_sliding_window", True)
        if window and slides and is_used and window not in seen.windows:
            raise Unpackable(f"its window of {window} positions is not told to its attention")
