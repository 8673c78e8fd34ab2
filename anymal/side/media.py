"""Soft tokens of several modalities as one list of media beside the rows.

Shapes: M media, Q soft tokens of each, D_side their width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from aligners.base import SoftTokens
from anymal.errors import DataError
from anymal.side.base import Media


def media_of(
    soft_tokens: Sequence[SoftTokens],
    *,
    order: Tensor,
    counts: Sequence[int],
    media_dim: int,
) -> Media:
    """Put soft tokens of several modalities together.

    Args:
        soft_tokens: Of each modality; none where there are no media.
        order: `[M]` int64, which of all these items each medium is; on their device.
        counts: How many media each sequence has.
        media_dim: D_side.

    Returns:
        The media, in that order; shorter ones are filled up and masked.

    Raises:
        DataError: An aligner gives another width.
    """
    for each in soft_tokens:
        if (width := each.values.shape[-1]) != media_dim:
            raise DataError(
                f"model.side reads media of width {media_dim}, but an aligner gave {width}; set "
                "side.media_dim or the aligner's options so that they agree"
            )
    if not soft_tokens:
        none = torch.zeros(0, 1, media_dim, device=order.device)
        return Media(values=none, mask=None, counts=tuple(counts))
    longest = max(each.values.shape[1] for each in soft_tokens)
    values = torch.cat([_filled(each.values, longest) for each in soft_tokens])
    mask = None
    if any(each.mask is not None or each.values.shape[1] < longest for each in soft_tokens):
        masks = [pad(_mask(each), (0, longest - each.values.shape[1])) for each in soft_tokens]
        mask = torch.cat(masks).index_select(0, order)
    return Media(values=values.index_select(0, order), mask=mask, counts=tuple(counts))


def _filled(values: Tensor, length: int) -> Tensor:
    """`[M, length, D_side]` of `[M, Q, D_side]`."""
    return pad(values, (0, 0, 0, length - values.shape[1]))


def _mask(soft_tokens: SoftTokens) -> Tensor:
    """`[M, Q]` bool."""
    if soft_tokens.mask is not None:
        return soft_tokens.mask
    values = soft_tokens.values
    return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
