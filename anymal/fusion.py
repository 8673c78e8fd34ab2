"""Soft tokens into their slots among the words' embeddings.

Does not compute either; it only checks that they match and puts them together.

Shapes: B samples, S fused length, T text tokens, M media items of one modality, Q soft tokens of
an item, N soft tokens of all slots, D_llm width of the language model's embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from aligners.base import SoftTokens
from anymal.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slots:
    """The slots of one modality in a batch; several may show the same item.

    Attributes:
        positions: `[N]` int64 flat positions in `[B, S]`, slot after slot.
        lengths: Q of each slot.
        items: The number of the item, or of the window of an item, that each slot shows.
        rows: `[N]` int64, which soft token of all items stands there; None where every slot has
            an item of its own, in order.
    """

    positions: Tensor
    lengths: tuple[int, ...]
    items: tuple[int, ...]
    rows: Tensor | None


def in_slots(name: str, soft_tokens: SoftTokens, slots: Slots) -> Tensor:
    """The soft tokens of all slots, one after the other.

    Args:
        name: Of the modality.
        soft_tokens: Of its items.
        slots: Its slots.

    Returns:
        `[N, D_llm]` float32.

    Raises:
        DataError: They differ in number; the message names both.
    """
    wanted = [own for _, own in sorted(set(zip(slots.items, slots.lengths, strict=True)))]
    if (made := soft_tokens.counts()) != wanted:
        raise DataError(
            f"{name}: the batch reserves {_told(wanted, 'slots')} positions, but the aligner gave "
            f"{_told(made, 'items')} soft tokens; the processor and the aligner must have the "
            "same num_tokens, and the encoder the layouts that it tells"
        )
    flat = soft_tokens.flat()
    return flat if slots.rows is None else flat.index_select(0, slots.rows)


def fuse(
    words: Tensor,
    soft_tokens: Mapping[str, SoftTokens],
    *,
    text_rows: Tensor,
    slots: Mapping[str, Slots],
    shape: tuple[int, int],
) -> Tensor:
    """Lay words and soft tokens out as the language model reads them.

    Soft tokens become the words' dtype here and nowhere else. What is neither word nor slot is
    padding, and zero.

    Args:
        words: `[T, D_llm]`, embeddings of the text tokens.
        soft_tokens: By modality.
        text_rows: `[T]` int64 flat positions of the words in `[B, S]`.
        slots: By modality.
        shape: B and S.

    Returns:
        `[B, S, D_llm]` in the dtype of `words`.

    Raises:
        DataError: Slots and soft tokens differ in number; the message names both.
    """
    if set(soft_tokens) != set(slots):
        raise DataError(f"slots are for {sorted(slots)}, soft tokens for {sorted(soft_tokens)}")
    width = words.shape[-1]
    rows = words.new_zeros((shape[0] * shape[1], width)).index_copy(0, text_rows, words)
    for name, own in slots.items():
        tokens = in_slots(name, soft_tokens[name], own)
        rows = rows.index_copy(0, own.positions, tokens.to(words.dtype))
    return rows.view(*shape, width)  # [B, S, D_llm]


def _told(lengths: Sequence[int], noun: str) -> str:
    """Such as `2 slots of 3 and 5`, or `2 slots of 3` where all are equal."""
    *others, last = map(str, lengths if len(set(lengths)) > 1 else lengths[:1])
    each = f"{', '.join(others)} and {last}" if others else last
    return f"{len(lengths)} {noun} of {each}"
