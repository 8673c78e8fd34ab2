"""What a row reads beside itself: media that stand in no position, and the layers that read them.

Holds no layers (see `cross` and `prefix`) and does not call them: the language model does, before
its decoder layers and after its attention, while a side is active on the thread
(`anymal.llm.beside`). While none is active, the model is what it was.

Shapes: B rows, T positions of a row; N items to read, Q places of an item, D_side its width; H
heads that ask and G that answer; D width of a head; D_llm width of a decoder layer.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from anymal.side.reads import Reader, Reads, Stretch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Media:
    """Media beside some sequences, all of the first before those of the second.

    Attributes:
        values: `[M, Q, D_side]` float32, soft tokens of the aligners.
        mask: `[M, Q]` bool, True where a soft token stands; None is everywhere.
        counts: How many media each sequence has.
    """

    values: Tensor
    mask: Tensor | None
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Memory:
    """What side layers keep of media: keys and values of N items.

    Attributes:
        keys: `[N, G, Q, D]`, by the number of the decoder layer.
        values: As `keys`.
        mask: `[N, Q]` bool, True where there is something to read; None is everywhere.
    """

    keys: Mapping[int, Tensor]
    values: Mapping[int, Tensor]
    mask: Tensor | None


def joined(memories: Sequence[Memory]) -> Memory:
    """The items of several memories, one after the other.

    Args:
        memories: At least one; of the same side layers.

    Returns:
        One memory; shorter items are filled up and masked.
    """
    if len(memories) == 1:
        return memories[0]
    layer = next(iter(memories[0].keys))
    lengths = [each.keys[layer].shape[2] for each in memories]
    most = max(lengths)
    mask = None
    if min(lengths) < most or any(each.mask is not None for each in memories):
        mask = torch.cat(
            [
                pad(_mask_of(each, layer), (0, most - n))
                for each, n in zip(memories, lengths, strict=True)
            ]
        )

    def cat(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([pad(each, (0, 0, 0, most - each.shape[2])) for each in parts])

    return Memory(
        keys={at: cat([each.keys[at] for each in memories]) for at in memories[0].keys},
        values={at: cat([each.values[at] for each in memories]) for at in memories[0].keys},
        mask=mask,
    )


def _mask_of(memory: Memory, layer: int) -> Tensor:
    """`[N, Q]` bool."""
    if memory.mask is not None:
        return memory.mask
    keys = memory.keys[layer]
    return torch.ones(keys.shape[0], keys.shape[2], dtype=torch.bool, device=keys.device)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """What is beside the rows of one pass.

    Attributes:
        layers: What reads it.
        memory: What is read.
        reads: Which positions read which items of the memory.
    """

    layers: "SideLayers"
    memory: Memory
    reads: Reads


class SideLayers(nn.Module):
    """Trainable layers beside a language model; float32, and outside of its quantised weights.

    Attributes:
        media_dim: D_side, the width that aligners give.
        is_positional: Whether a position reads only the media that stand before it. If not, all
            positions of a sequence depend on all of its media, later ones included.
        checkpoints: Whether activations are computed again in the backward pass.
    """

    media_dim: int
    is_positional: bool
    checkpoints: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """The decoder layers that read beside themselves, in order."""
        raise NotImplementedError

    def check(self, layers: Sequence[nn.Module]) -> None:
        """Refuse decoder layers that these layers cannot stand beside.

        Raises:
            RecipeError: The message names what is missing.
        """

    def remember(self, media: Media, *, layers: Sequence[nn.Module], dtype: torch.dtype) -> Memory:
        """Make keys and values of media, once for all positions that read them.

        Args:
            media: Of some sequences; there may be none.
            layers: The language model's decoder layers (`anymal.llm.beside.decoder_layers`).
            dtype: Of the language model's hidden states.

        Returns:
            The memory. Its items are the media where `is_positional`, and otherwise the sequences.
        """
        raise NotImplementedError

    def stretches(self, readers: Sequence[Reader]) -> list[Stretch]:
        """Tell which positions read which items of the memory.

        Args:
            readers: One for each sequence of `Media`, in the same order.

        Returns:
            Stretches of positions that read the same items.
        """
        raise NotImplementedError

    def before(self, layer: int, hidden: Tensor, side: Side) -> Tensor:
        """Change what a decoder layer is given, `[..., D_llm]` with all positions of the pass."""
        return hidden

    def beside(
        self, layer: int, query: Tensor, side: Side, *, scaling: float | None
    ) -> Tensor | None:
        """Give what is added to the result of a layer's attention.

        Args:
            layer: Its number.
            query: `[B, H, T, D]`, rotated.
            side: The active one.
            scaling: Of the scores; None is one over the square root of D.

        Returns:
            `[B, T, H, D]`, or None where nothing is added.
        """
        return None

    def side(
        self,
        media: Media,
        readers: Sequence[Reader],
        *,
        layers: Sequence[nn.Module],
        dtype: torch.dtype,
        num_positions: int,
    ) -> Side:
        """Put together what a pass reads.

        Args:
            media: Of the sequences of the pass.
            readers: Those sequences.
            layers: As in `remember`.
            dtype: As in `remember`.
            num_positions: B times T.

        Returns:
            The side, for `side_is`.
        """
        return Side(
            layers=self,
            memory=self.remember(media, layers=layers, dtype=dtype),
            reads=Reads(
                self.stretches(readers), num_positions=num_positions, device=media.values.device
            ),
        )


_active = threading.local()


@contextmanager
def side_is(side: Side | None) -> Iterator[None]:
    """Let language models read beside their rows on this thread.

    Args:
        side: What they read; None is nothing, and the model is what it was.
    """
    before = active_side()
    _active.side = side
    try:
        yield
    finally:
        _active.side = before


def active_side() -> Side | None:
    """What is active on this thread."""
    side: Side | None = getattr(_active, "side", None)
    return side


def read_before(layer: int, hidden: Tensor) -> Tensor:
    """What decoder layer `layer` is given instead of `hidden`, `[..., D_llm]`."""
    side = active_side()
    return hidden if side is None else side.layers.before(layer, hidden, side)


def read_beside(layer: int | None, query: Tensor, out: Tensor, *, scaling: float | None) -> Tensor:
    """What the attention of a layer gives instead of `out`.

    Args:
        layer: Its number.
        query: `[B, H, T, D]`.
        out: `[B, T, H, D]`.
        scaling: Of the scores.

    Returns:
        As `out`.
    """
    side = active_side()
    if side is None:
        return out
    assert layer is not None, "layers without numbers are refused at assembly"
    added = side.layers.beside(layer, query, side, scaling=scaling)
    return out if added is None else out + added.to(out.dtype)
