"""Whether a language model can be run on packed rows, found out before the first request.

Does not serve anybody. What a configuration says is checked first; then two short sequences run
packed, in chunks, and must come out as the model itself has them.

Shapes: T positions, D_llm embedding width, D layer width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from anymal.engine.attention import PackedAttention, Stretch
from anymal.engine.blocks import BLOCK_SIZE
from anymal.engine.key_values import KeyValues, LayerShape
from anymal.errors import EngineError
from anymal.llm.attention import attention_is, install
from anymal.llm.causal_lm import LLM

# Frequencies that follow the longest sequence of a batch would let requests change each other.
_ROPE_OF_LENGTH = ("dynamic", "longrope")
# What attention functions are given by models whose attention is more than softmax(q k) v.
_REFUSED = ("softcap", "s_aux", "sinks", "position_bias", "alibi", "head_mask", "block_mask")
_LAYERS = {"full_attention", "sliding_attention"}
_SEQUENCES = (21, 6)  # lengths that the self-test runs; longer than a block, and shorter


class Unpackable(EngineError):
    """The model cannot be run on packed rows; the message says why."""


def configs_of(llm: LLM) -> list[Any]:
    """The configurations that the model's layers look at."""
    found = {id(m.config): m.config for m in llm.model.modules() if hasattr(m, "config")}
    return [config for config in found.values() if hasattr(config, "_attn_implementation")]


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


def layer_shapes(llm: LLM) -> "tuple[dict[int, LayerShape], torch.dtype]":
    """What each layer keeps of a position, and its dtype, as one forward pass shows it.

    Raises:
        Unpackable: The model attends in a way that packing would get wrong.
    """
    _check_config(llm)
    seen = _Seen()
    with torch.no_grad(), attention_is(seen):
        llm.decode(_rows(llm, 2), mask=None, positions=_positions(llm, 2), cache=None)
    _check_windows(llm, seen)
    if seen.dtype is None:
        raise Unpackable("its attention does not go through transformers' attention interface")
    return seen.shapes, seen.dtype


def self_test(llm: LLM, cache: KeyValues) -> None:
    """Run two sequences packed and alone, and compare; leaves the blocks that it used zero.

    Args:
        llm: The model.
        cache: With five blocks or more.

    Raises:
        Unpackable: They differ.
    """
    rows = _rows(llm, sum(_SEQUENCES))[0]
    first, second = torch.split(rows, list(_SEQUENCES))
    blocks = ([2, 1], [3])
    half, last = BLOCK_SIZE // 2 + 1, _SEQUENCES[0] - 1
    steps = [  # of both sequences, as [start, stop)
        ((0, half), (0, 3)),
        ((half, last), (3, _SEQUENCES[1] - 1)),
        ((last, last + 1), (_SEQUENCES[1] - 1, _SEQUENCES[1])),
    ]
    outs: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.no_grad():
        for step in steps:
            stretches = [
                Stretch(start=start, stop=stop, blocks=own)
                for (start, stop), own in zip(step, blocks, strict=True)
            ]
            is_last = step is steps[-1]
            packed = PackedAttention(
                cache,
                decoding=stretches if is_last else [],
                chunks=[] if is_last else stretches,
                device=llm.device,
            )
            parts = [
                own[start:stop] for own, (start, stop) in zip((first, second), step, strict=True)
            ]
            places = [torch.arange(*each, device=llm.device) for each in step]
            with attention_is(packed):
                hidden = llm.decode(
                    torch.cat(parts)[None],
                    mask=None,
                    positions=torch.cat(places)[None],
                    cache=None,
                )[0]
            for out, part in zip(
                outs, torch.split(hidden, [len(part) for part in parts]), strict=True
            ):
                out.append(part)
        for out, own in zip(outs, (first, second), strict=True):
            alone = llm.decode(
                own[None], mask=None, positions=_positions(llm, len(own)), cache=None
            )[0]
            check_same(torch.cat(out), alone, is_exact=llm.precision == "fp32")
    cache.scrub([1, 2, 3])


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
    error = float(((packed - alone).norm(dim=-1) / size).max())
    allowed = 1e-3 if is_exact else 0.1
    if not error <= allowed:
        raise Unpackable(
            f"run packed, its hidden states differ by {error:.1g} of their size from those that it "
            f"computes alone (allowed: {allowed:g})"
        )


def _rows(llm: LLM, number: int) -> Tensor:
    """`[1, T, D_llm]`: some words of the vocabulary."""
    ids = torch.arange(number, device=llm.device) * 7 % llm.vocab_size
    return llm.embed(ids)[None]


def _positions(llm: LLM, number: int) -> Tensor:
    return torch.arange(number, device=llm.device)[None]


class _Seen:
    """An attention that notes what it is called with; see `anymal.llm.attention.Attention`."""

    def __init__(self) -> None:
        self.shapes: dict[int, LayerShape] = {}
        self.windows: set[int] = set()
        self.dtype: torch.dtype | None = None

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
        if refused := [name for name in _REFUSED if others.get(name) is not None]:
            raise Unpackable(f"its attention needs {', '.join(refused)}")
        if getattr(module, "layer_idx", None) in (None, *self.shapes):
            raise Unpackable("its layers have no numbers of their own to keep keys and values by")
        self.shapes[module.layer_idx] = LayerShape(
            num_heads=key.shape[1], key_dim=key.shape[-1], value_dim=value.shape[-1]
        )
        self.dtype = key.dtype
        if window is not None:
            self.windows.add(window)
        groups = query.shape[1] // key.shape[1]
        keys, values = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        out = scaled_dot_product_attention(query, keys, values, is_causal=True, scale=scaling)
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
