"""Media on one clock: an aligner reads what was seen at each tick by itself; the time is added.

Does not know what a tick is in seconds, and orders nothing: rows stand where their slots do.

Shapes: M media items, F features per item, N real features of one item, R rows (of an item that is
on a clock one for each of its ticks, of another item one), Q soft tokens per row, D_enc encoder
width, D_llm width of the language model's embeddings.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aligners.base import SoftTokens, soft_tokens_of
from aligners.limits import AlignerError
from encoders.base import Features, Layout

_LONGEST_WAVE = 10_000.0  # in ticks; Vaswani et al. 2017, section 3.5
_OFF = -1  # the tick of what is on no clock


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What an aligner reads in one piece, row by row.

    Attributes:
        features: `[R, F, D_enc]`.
        owners: `[R]` int64, the item of each row.
        ticks: `[R]` int64; -1 for an item that is on no clock.
    """

    features: Features
    owners: Tensor
    ticks: Tensor


def align(
    aligner: Callable[[Features], SoftTokens | Tensor],
    features: Features,
    *,
    rms: Callable[[], float],
) -> SoftTokens:
    """Soft tokens of media items, of which some may be on a clock.

    Args:
        aligner: Reads features.
        features: Of the items. Without `ticks` this is what the aligner gives.
        rms: Gives the root mean square of the language model's embedding table, which is that of
            times; asked only where there are any.

    Returns:
        Soft tokens `[R, Q, D_llm]`, item after item, tick after tick.

    Raises:
        AlignerError: An item has another number of real features than ticks.
    """
    if features.ticks is None:
        return soft_tokens_of(aligner(features))
    rows = rows_of(features, features.ticks)
    made = soft_tokens_of(aligner(rows.features))
    times = time_embedding(rows.ticks, made.values.shape[-1]) * rms()
    return replace(made, values=made.values + times[:, None])


def rows_of(features: Features, ticks: Sequence[Tensor | None]) -> Rows:
    """Cut items at the ticks of a clock.

    Args:
        features: `[M, F, D_enc]`.
        ticks: As in `Features`.

    Returns:
        The rows, without layouts for what was cut: it has no rows of a picture any more.

    Raises:
        AlignerError: An item has another number of real features than ticks.
    """
    device = features.mask.device
    _check(features, ticks)
    owners: list[int] = []
    moments: list[int] = []
    layouts: list[Layout | None] = []
    for item, own in enumerate(ticks):
        found = {_OFF: 0} if own is None else windows_at(own)
        owners += [item] * len(found)
        moments += found
        whole = None if features.layouts is None else features.layouts[item]
        layouts += [whole] if own is None else [Layout(before=n) for n in found.values()]
    owner, moment = (torch.tensor(each, device=device) for each in (owners, moments))
    none = torch.full((1,), _OFF)
    by_rank = pad_sequence([none if own is None else own for own in ticks], batch_first=True)
    by_rank = by_rank.to(device)  # [M, N]
    rank = (features.mask.cumsum(dim=1) - 1).clamp(min=0, max=by_rank.shape[1] - 1)
    when = by_rank.gather(1, rank)[owner]  # [R, F]
    is_off = (moment == _OFF)[:, None]
    chosen = features.mask[owner] & (is_off | (when == moment[:, None]))
    order = (~chosen).int().argsort(dim=1, stable=True)[:, : int(chosen.sum(dim=1).max())]
    told = None if features.layouts is None else tuple(each for each in layouts if each is not None)
    return Rows(
        features=Features(
            values=features.values[owner[:, None], order],
            mask=chosen.gather(1, order),
            steps=features.steps[owner[:, None], order],
            layouts=told,
            words=None
            if features.words is None
            else tuple(features.words[item] for item in owners),
        ),
        owners=owner,
        ticks=moment,
    )


def windows_at(ticks: Tensor) -> dict[int, int]:
    """The ticks of an item, in order, each with its number of features."""
    return dict(sorted(Counter(ticks.tolist()).items()))


def time_embedding(ticks: Tensor, width: int) -> Tensor:
    """Sines and cosines of a time, the same for all media (Vaswani et al. 2017, section 3.5).

    They have no weights, so that times of different media always agree.

    Args:
        ticks: `[R]` int64; -1 gives zeros.
        width: D_llm.

    Returns:
        `[R, D_llm]` float32 of a root mean square near 1.
    """
    halves = torch.arange((width + 1) // 2, device=ticks.device, dtype=torch.float32)
    angles = ticks[:, None] / _LONGEST_WAVE ** (2 * halves / width)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
    return (waves * 2**0.5).masked_fill((ticks == _OFF)[:, None], 0.0)


def _check(features: Features, ticks: Sequence[Tensor | None]) -> None:
    """Refuse items whose times were told of other features than they have."""
    counts = features.mask.sum(dim=1).tolist()
    for count, own in zip(counts, ticks, strict=True):
        if own is not None and len(own) != count:
            raise AlignerError(
                f"the encoder told the times of {len(own)} features and gave {count}; its `times` "
                "and its mask must agree"
            )
