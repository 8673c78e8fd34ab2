"""The text that a chat template wrote, by ids: what the class of a published model reads.

Does not render templates (`anymal.published.rendering`), and is not how a bundle tokenises.

Shapes: T positions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def has_start(tokenizer: Any, written: str) -> bool:
    """Whether a text begins with the start token, so that the tokeniser must not add another.

    Processors of transformers look at it so when they apply a chat template.

    Args:
        tokenizer: Of the language model.
        written: By the chat template.
    """
    start = tokenizer.bos_token
    return start is not None and written.startswith(start)


def filled_ids(
    tokenizer: Any, written: str, *, medium: str, placeholder: int, counts: Sequence[int]
) -> Mapping[str, Tensor]:
    """A prompt by ids, a number of placeholders where each medium stands.

    Args:
        tokenizer: Of the language model.
        written: By the chat template, `medium` for each medium.
        medium: Text that stands for a medium.
        placeholder: Id that fills its place.
        counts: How many, for each medium.

    Returns:
        `input_ids` and `attention_mask` `[1, T]`.
    """
    first, *others = written.split(medium)
    ids = list(tokenizer(first, add_special_tokens=not has_start(tokenizer, written)).input_ids)
    for count, piece in zip(counts, others, strict=True):
        ids += [placeholder] * count + tokenizer(piece, add_special_tokens=False).input_ids
    return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}
