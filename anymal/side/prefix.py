"""Learned prompts beside attention (LLaMA-Adapter, arXiv 2303.16199, sections 3.1 to 3.3).

    out = softmax(q K_text) V_text + tanh(g) softmax(q K_prompts) V_prompts

Keys and values of the prompts come from the layer's own projections, LoRA included, and are not
rotated; the query is. What media say is added to the prompts. The gates start at zero, so at first
the language model is what it was.

Shapes: N sequences; K prompts of a layer; M media, Q soft tokens of each; H heads that ask and G
that answer; D width of a head; D_llm width of a decoder layer.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from anymal.errors import DataError, RecipeError
from anymal.side.base import Media, Memory, Side, SideLayers
from anymal.side.reads import Reader, Stretch
from anymal.side.sizes import DecoderSizes


class Prefix(SideLayers):
    """Prompts of the last decoder layers.

    Args:
        sizes: Of the language model.
        num_tokens: K.
        layers: How many of the last decoder layers have prompts; None is all.
        gate: One number for each head that asks, or one for each layer.

    Raises:
        RecipeError: The language model has fewer layers.
    """

    is_positional = False

    def __init__(
        self,
        *,
        sizes: DecoderSizes,
        num_tokens: int = 10,
        layers: int | None = None,
        gate: Literal["per_head", "per_layer"] = "per_head",
    ) -> None:
        super().__init__()
        number = sizes.num_layers if layers is None else layers
        if number > sizes.num_layers:
            raise RecipeError(
                f"model.side.layers is {number}, but the language model has {sizes.num_layers} "
                "layers; lower it"
            )
        self.media_dim = sizes.hidden_dim
        self._num_tokens, self._head_dim = num_tokens, sizes.head_dim
        self.layers = nn.ModuleDict(
            {
                str(at): _Prompts(
                    num_tokens, sizes.hidden_dim, sizes.num_heads if gate == "per_head" else 1
                )
                for at in range(sizes.num_layers - number, sizes.num_layers)
            }
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """See `SideLayers.numbers`."""
        return tuple(map(int, self.layers))

    def check(self, layers: Sequence[nn.Module]) -> None:
        """See `SideLayers.check`."""
        for name in self.layers:
            _attention_of(layers[int(name)])

    def remember(self, media: Media, *, layers: Sequence[nn.Module], dtype: torch.dtype) -> Memory:
        """See `SideLayers.remember`; one item for each sequence.

        Raises:
            DataError: A medium has neither one soft token nor one for each prompt.
        """
        said = self._said(media)
        keys: dict[int, Tensor] = {}
        values: dict[int, Tensor] = {}
        for name, own in self.layers.items():
            attention = _attention_of(layers[int(name)])
            rows = (cast(_Prompts, own).prompts + said).to(dtype)
            key, value = (self._heads(each(rows)) for each in (attention.k_proj, attention.v_proj))
            if hasattr(attention, "k_norm"):  # of heads, as Qwen3's text goes through
                key = attention.k_norm(key)
            keys[int(name)], values[int(name)] = key.transpose(1, 2), value.transpose(1, 2)
        return Memory(keys=keys, values=values, mask=None)

    def stretches(self, readers: Sequence[Reader]) -> list[Stretch]:
        """See `SideLayers.stretches`."""
        return [
            Stretch(start=each.start, stop=each.start + each.length, first=number, last=number + 1)
            for number, each in enumerate(readers)
        ]

    def beside(
        self, layer: int, query: Tensor, side: Side, *, scaling: float | None
    ) -> Tensor | None:
        """See `SideLayers.beside`."""
        if str(layer) not in self.layers:
            return None
        rows = query.transpose(1, 2)  # [B, T, H, D]
        keys, values = side.memory.keys[layer], side.memory.values[layer]
        found = side.reads.attend(rows.flatten(0, 1), keys, values, mask=None, scaling=scaling)
        gate = cast(_Prompts, self.layers[str(layer)]).gate.tanh()
        return (found * gate[:, None]).view(*rows.shape[:3], -1)

    def _said(self, media: Media) -> Tensor:
        """What the media of each sequence say, added up: `[N, 1 or K, D_llm]`."""
        length = media.values.shape[1]
        is_whole = media.mask is None or bool(media.mask.all())
        if not is_whole or length not in (1, self._num_tokens):
            raise DataError(
                f"media are added to the {self._num_tokens} prompts of model.side, so each takes 1 "
                f"soft token or {self._num_tokens}, and all take as many; these take up to "
                f"{length}; set num_tokens of their aligners to a number, which null is not"
            )
        numbers = torch.arange(len(media.counts), device=media.values.device)
        counts = torch.tensor(media.counts, device=media.values.device)
        owners = numbers.repeat_interleave(counts, output_size=len(media.values))
        said = media.values.new_zeros(len(media.counts), *media.values.shape[1:])
        return said.index_add(0, owners, media.values)

    def _heads(self, rows: Tensor) -> Tensor:
        """`[N, K, G * D]` to `[N, K, G, D]`."""
        return rows.view(*rows.shape[:2], -1, self._head_dim)


class _Prompts(nn.Module):
    """Prompts `[K, D_llm]` of one layer, and its gates."""

    def __init__(self, num_tokens: int, dim: int, num_gates: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.randn(num_tokens, dim))
        self.gate = nn.Parameter(torch.zeros(num_gates))


def _attention_of(layer: nn.Module) -> Any:
    """The module of a decoder layer that makes keys and values."""
    for module in layer.children():
        if hasattr(module, "k_proj") and hasattr(module, "v_proj"):
            return module
    raise RecipeError(
        "model.side of kind prefix takes keys and values from k_proj and v_proj, which "
        f"{type(layer).__name__} of this language model does not have; take kind: cross, or "
        "another model"
    )
