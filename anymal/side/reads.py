"""Which positions of a pass read which items, laid out so that few operations read them all.

Positions that follow each other and read the same are a stretch. Stretches of about the same
length that read as many items are laid side by side, so no mask of all positions and all items is
made, and no position pays for the media of another sequence.

Shapes: P positions of a pass; N items, Q places of an item; H heads that ask and G that answer; D
width of a head; n stretches side by side, of L positions with padding, that read k items each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_MOST_PADDING = 1.25  # the longest of the stretches that are laid side by side over the shortest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Neighbouring positions of one sequence: a sample, or what a step computes of a request.

    Attributes:
        start: First flat position in the rows of the pass.
        length: How many positions there are.
        offset: The position in the sequence of the first one.
        places: Where the sequence's media stand: before which of its positions, in order.
    """

    start: int
    length: int
    offset: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Flat positions `[start, stop)`, which read items `[first, last)`; both hold something."""

    start: int
    stop: int
    first: int
    last: int


def media_stretches(readers: Sequence[Reader], *, reads_all: bool) -> list[Stretch]:
    """Tell which positions read which media, if each reads what stands before it.

    Args:
        readers: Of sequences, whose media are counted one after the other.
        reads_all: Whether a position reads all media before it; otherwise the last.

    Returns:
        Stretches; positions before the first medium of a sequence are in none.
    """
    found = []
    num_before = 0
    for reader in readers:
        end = reader.offset + reader.length
        stops = (*reader.places[1:], end)
        for number, (place, stop) in enumerate(zip(reader.places, stops, strict=False)):
            begin, stop = max(place, reader.offset), min(stop, end)
            if begin < stop:
                shift = reader.start - reader.offset
                medium = num_before + number
                found.append(
                    Stretch(
                        start=begin + shift,
                        stop=stop + shift,
                        first=num_before if reads_all else medium,
                        last=medium + 1,
                    )
                )
        num_before += len(reader.places)
    return found


class Reads:
    """Reads of one pass.

    Args:
        stretches: In any order, none of which overlaps; other positions read nothing.
        num_positions: P.
        device: Where the positions are.
    """

    def __init__(
        self, stretches: Sequence[Stretch], *, num_positions: int, device: torch.device | str
    ) -> None:
        self._num_positions = num_positions
        self._groups: list[tuple[Tensor, Tensor, int]] = []  # [n * L] positions, [n * k] items, n
        positions: list[Tensor] = []
        found: list[Tensor] = []  # where each is among the rows of all groups
        num_before = 0
        for group in _groups(stretches):
            longest = max(each.stop - each.start for each in group)
            places = []
            for each in group:
                own = torch.arange(each.start, each.stop)
                positions.append(own)
                found.append(torch.arange(len(own)) + num_before)
                num_before += longest
                places.append(torch.cat([own, own[-1:].expand(longest - len(own))]))
            items = torch.cat([torch.arange(each.first, each.last) for each in group])
            self._groups.append((torch.cat(places).to(device), items.to(device), len(group)))
        if self._groups:
            self._positions = torch.cat(positions).to(device)
            self._found = torch.cat(found).to(device)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        mask: Tensor | None,
        scaling: float | None = None,
    ) -> Tensor:
        """Let each position attend to its items.

        Args:
            query: `[P, H, D]`.
            key: `[N, G, Q, D]`.
            value: As `key`.
            mask: `[N, Q]` bool, True where there is something to read; None is everywhere.
            scaling: Of the scores; None is one over the square root of D.

        Returns:
            `[P, H, D]`, zero where a position reads nothing.
        """
        shape = (self._num_positions, query.shape[1], value.shape[-1])
        if not self._groups:
            return query.new_zeros(shape)
        read: list[Tensor] = []
        for places, items, size in self._groups:
            asks = query.index_select(0, places)
            asks = asks.view(size, -1, *query.shape[1:]).transpose(1, 2)  # [n, H, L, D]
            keys, values = (_side_by_side(each, items, size) for each in (key, value))
            seen = None
            if mask is not None:
                seen = mask.index_select(0, items).view(size, 1, 1, -1)
            group = scaled_dot_product_attention(
                asks,
                keys,
                values,
                attn_mask=seen,
                scale=scaling,
                enable_gqa=asks.shape[1] != keys.shape[1],
            )  # [n, H, L, D]
            read.append(group.transpose(1, 2).flatten(0, 1))
        rows = torch.cat(read).index_select(0, self._found)  # under autocast, not of query's dtype
        return rows.new_zeros(shape).index_copy(0, self._positions, rows)


def _side_by_side(rows: Tensor, items: Tensor, size: int) -> Tensor:
    """`[n, G, k * Q, D]` of `[N, G, Q, D]`."""
    chosen = rows.index_select(0, items).view(size, -1, *rows.shape[1:])  # [n, k, G, Q, D]
    return chosen.transpose(1, 2).flatten(2, 3)


def _groups(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """Stretches that read as many items, those of similar length together."""
    groups: list[list[Stretch]] = []
    for each in sorted(
        stretches, key=lambda each: (each.last - each.first, each.stop - each.start)
    ):
        if groups and _go_together(groups[-1][0], each):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _go_together(shortest: Stretch, other: Stretch) -> bool:
    same = other.last - other.first == shortest.last - shortest.first
    length, most = other.stop - other.start, _MOST_PADDING * (shortest.stop - shortest.start)
    return same and length <= most
