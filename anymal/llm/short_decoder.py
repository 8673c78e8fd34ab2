"""The layers of a Llama and its like, run by their own modules without what transformers adds.

Nothing of the model is exchanged or copied: linear layers, activations, norms and rotary positions
are called in the order of transformers' `LlamaDecoderLayer`, on rows instead of a batch, with
fewer small operations between them. On a CPU these take longer than the products of a small model.

`short_decoder` tells whether a model is of this kind: by its type and structure, then by comparing
every query, key, value and the result with what the model computes itself. Does not attend: see
`anymal.llm.attention`.

Shapes: T positions; Hq heads that ask and H that answer; D width of a head, K of a layer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from anymal.llm.attention import Attention, AttentionCall, attention_is
from anymal.llm.causal_lm import LLM
from anymal.llm.packable import first_positions, word_rows
from anymal.side.base import read_before, read_beside


class ShortDecoder:
    """What `short_decoder` found of a model; does what `LLM.decode` does."""

    def __init__(self, rotary: nn.Module, layers: "Sequence[_Layer]", norm: "_Norm") -> None:
        self._rotary, self._layers, self._norm = rotary, layers, norm

    def decode(self, rows: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Run the layers, without the output head.

        Args:
            rows: `[T, K]`, embeddings.
            positions: `[T]` int64.
            attention: Of this step.

        Returns:
            Hidden states `[T, K]`.
        """
        cos, sin = (each[0, :, None] for each in self._rotary(rows[None], positions[None]))
        half = sin.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        for layer in self._layers:
            rows = layer(rows, (cos, sin), attention)
        return self._norm(rows)


def short_decoder(llm: LLM) -> ShortDecoder | None:
    """Look whether a model can be run so.

    Args:
        llm: Whose layers ask `anymal.llm.attention`.

    Returns:
        What runs it; None if it is of another kind.
    """
    base = llm.model.base_model
    if llm.model.config.model_type not in _TYPES:
        return None
    if _parts(base) != _MODEL or not all(map(_is_known, base.layers)):
        return None
    seen = _Seen()
    is_exact = llm.precision == "fp32"
    with torch.no_grad():
        rows, positions = word_rows(llm, _ROWS)[0], first_positions(llm, _ROWS)[0] * _STRIDE
        with attention_is(seen):
            wanted = llm.decode(rows[None], positions=positions[None], cache=None)[0]
        if [call.layer for call in seen.calls] != list(range(len(base.layers))):
            return None
        if base.rotary_emb(rows[None], positions[None])[0].shape[-1] != _width(seen.calls):
            return None  # it turns a part of each head only
        layers = [_Layer(*pair) for pair in zip(base.layers, seen.calls, strict=True)]
        own = ShortDecoder(base.rotary_emb, layers, _Norm(base.norm))
        comparing = _Comparing(seen.calls, is_exact=is_exact)
        hidden = own.decode(rows, positions, comparing)
    return own if comparing.is_same and _is_same(hidden, wanted, is_exact=is_exact) else None


# What is compared: some words, how far apart their positions are, and by how much of its length a
# row may differ, by whether all is exact. Where layers round, a sum in another order can move one
# word far; a model that computes something else moves most.
_ROWS, _STRIDE = 6, 37
_ALLOWED = {True: 1e-4, False: 0.1}

# Types whose code was read. Others have a Llama's parts too, and do what comparing a few words does
# not show: OLMo clips large queries, Ministral 3 scales those of late positions.
_TYPES = {"gemma", "llama", "mistral", "qwen2", "qwen3"}
# Names of the parts of a Llama; Qwen3 has norms of heads besides.
_MODEL = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
_ATTENTION, _HEAD_NORMS = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class _Layer:
    """One layer: its modules, and what it gives its attention."""

    def __init__(self, layer: Any, call: AttentionCall) -> None:
        own, mlp = layer.self_attn, layer.mlp
        self._before = _Norm(layer.input_layernorm)
        self._between = _Norm(layer.post_attention_layernorm)
        self._own, self._mlp = own, mlp
        # Layers that round their inputs would each do so.
        self._dtype = getattr(own.q_proj, "input_dtype", None)
        assert call.layer is not None, "they were counted"
        self._layer, self._scaling, self._window = call.layer, call.scaling, call.window
        self._width = call.query.shape[-1]
        self._of_query = _Norm(own.q_norm) if hasattr(own, "q_norm") else _as_it_is
        self._of_key = _Norm(own.k_norm) if hasattr(own, "k_norm") else _as_it_is

    def __call__(
        self, rows: Tensor, rotation: tuple[Tensor, Tensor], attention: Attention
    ) -> Tensor:
        """From `[T, K]` to `[T, K]`."""
        own, mlp = self._own, self._mlp
        rows = read_before(self._layer, rows)
        read, heads = self._rounded(self._before(rows)), (len(rows), -1, self._width)
        query = _rotated(self._of_query(own.q_proj(read).view(heads)), *rotation)
        key = _rotated(self._of_key(own.k_proj(read).view(heads)), *rotation)
        asks = query.transpose(0, 1)[None]
        found = attention(
            AttentionCall(
                layer=self._layer,
                query=asks,
                key=key.transpose(0, 1)[None],
                value=own.v_proj(read).view(heads).transpose(0, 1)[None],
                scaling=self._scaling,
                window=self._window,
                others={},
            )
        )
        found = read_beside(self._layer, asks, found, scaling=self._scaling)
        rows = rows + own.o_proj(found.reshape(len(rows), -1))
        read = self._rounded(self._between(rows))
        out: Tensor = mlp.down_proj(mlp.act_fn(mlp.gate_proj(read)).mul_(mlp.up_proj(read)))
        return rows + out

    def _rounded(self, rows: Tensor) -> Tensor:
        return rows if self._dtype is None else rows.to(self._dtype)


class _Norm:
    """A norm; RMSNorm (Zhang and Sennrich, 2019) in float32 takes fewer operations here."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._is_rms = False
        weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
        if weight is None or eps is None or weight.dtype != torch.float32:
            return
        size = weight.numel()
        self._scaled: Tensor = weight.detach() * size**0.5
        self._eps = size * eps
        rows = torch.randn(2, size, generator=torch.Generator().manual_seed(0)).to(weight.device)
        rows[1] *= eps**0.5  # where eps counts
        self._is_rms = _is_same(self._rms(rows), module(rows), is_exact=True)

    def __call__(self, rows: Tensor) -> Tensor:
        """From `[..., K]` to `[..., K]`."""
        out: Tensor = self._rms(rows) if self._is_rms else self._module(rows)
        return out

    def _rms(self, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        scale: Tensor = length.square_().add_(self._eps).rsqrt_()
        return scale.mul(self._scaled).mul_(rows)


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, given `sin` with its first half negated."""
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)


def _as_it_is(heads: Tensor) -> Tensor:
    return heads


def _is_known(layer: Any) -> bool:
    """Whether a layer has the parts of a Llama's, and no others."""
    return (
        _parts(layer) == _LAYER
        and _parts(layer.self_attn) - _HEAD_NORMS == _ATTENTION
        and _parts(layer.mlp) == _MLP
    )


def _parts(module: Any) -> set[str]:
    """Names of modules, and of weights that are in none of them."""
    parameters = {name for name, _ in module.named_parameters(recurse=False)}
    return parameters | {name for name, _ in module.named_children()}


def _is_same(one: Tensor, other: Tensor, *, is_exact: bool) -> bool:
    """Whether all rows differ by no more than `_ALLOWED`; most of them, where layers round."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.double(), other.double()
    is_near = (one - other).norm(dim=-1) <= _ALLOWED[is_exact] * other.norm(dim=-1)
    return bool(is_near.all() if is_exact else 2 * is_near.sum() > is_near.numel())


# --- the comparison -----------------------------------------------------------------------------


class _Seen:
    """Keeps what a model gives its attention; see `anymal.llm.attention.Attention`."""

    def __init__(self) -> None:
        self.calls: list[AttentionCall] = []

    def __call__(self, call: AttentionCall) -> Tensor:
        self.calls.append(call)
        return _some_attention(call.query, call.key, call.value)


class _Comparing:
    """Compares calls with those that were seen; see `anymal.llm.attention.Attention`."""

    def __init__(self, calls: Sequence[AttentionCall], *, is_exact: bool) -> None:
        self._calls, self._is_exact = calls, is_exact
        self.is_same = True

    def __call__(self, call: AttentionCall) -> Tensor:
        assert call.layer is not None, "they were counted"
        seen = self._calls[call.layer]
        for one, other in (
            (call.query, seen.query),
            (call.key, seen.key),
            (call.value, seen.value),
        ):
            self.is_same &= _is_same(one, other, is_exact=self._is_exact)
        return _some_attention(call.query, call.key, call.value)


def _some_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[B, T, Hq, D]`: the same for both sides of the comparison."""
    out = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return out.transpose(1, 2)


def _width(calls: Sequence[AttentionCall]) -> int:
    return calls[0].query.shape[-1]
