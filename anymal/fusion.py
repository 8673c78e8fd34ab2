"""Soft tokens into their slots among the words' embeddings.

Does not compute either; it only checks that they match and puts them together.

Shapes: B samples, S fused length, T text tokens, M media items of one modality, Q soft tokens per
item, D_llm width of the language model's embeddings.
"""

from collections.abc import Mapping

from torch import Tensor

from anymal.errors import DataError


def fuse(
    words: Tensor,
    soft_tokens: Mapping[str, Tensor],
    *,
    text_rows: Tensor,
    slots: Mapping[str, Tensor],
    shape: tuple[int, int],
) -> Tensor:
    """Lay words and soft tokens out as the language model reads them.

    Soft tokens become the words' dtype here and nowhere else. What is neither word nor slot is
    padding, and zero.

    Args:
        words: `[T, D_llm]`, embeddings of the text tokens.
        soft_tokens: By modality, `[M, Q, D_llm]` float32.
        text_rows: `[T]` int64 flat positions of the words in `[B, S]`.
        slots: By modality, `[M, Q]` int64 flat positions of the soft tokens.
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
    for modality, positions in slots.items():
        tokens = soft_tokens[modality]
        if tokens.shape[:2] != positions.shape:
            items, length = positions.shape
            raise DataError(
                f"{modality}: the batch reserves {items} slots of {length} positions, but the "
                f"aligner gave {tokens.shape[0]} items of {tokens.shape[1]} soft tokens; "
                "the processor and the aligner must have the same num_tokens"
            )
        rows = rows.index_copy(0, positions.flatten(), tokens.flatten(0, 1).to(words.dtype))
    return rows.view(*shape, width)  # [B, S, D_llm]
