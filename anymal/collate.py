"""Samples to a batch: its layout, and every index that the GPU path needs, worked out on the CPU.

Does not decode, tokenise, or touch a device on its own.

Shapes: B samples, S fused length, M media items of one modality in the batch, T text tokens, N
target tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from anymal.features.store import is_cached, stack_cached
from anymal.fusion import Slots
from anymal.sample import (
    IGNORED,
    Item,
    PairPart,
    Sample,
    check_counts,
    item_numbers,
    layouts_of,
    ticks_of,
    words_of,
)
from anymal.side.reads import Reader
from encoders.base import EncoderInputs, Features, stack_inputs

_SHORTEST_PREFIX = 8  # fewer positions are hardly worth joining to the rest again


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Samples side by side, or one after the other. Flat positions count through `[B, S]`.

    Attributes:
        prefix: Words that all samples begin with and that stand in no row; see
            `anymal.llm.shared_prefix`.
        lengths: How many positions each sample has in the rows.
        is_packed: Whether all samples stand in one row (B is 1).
        ids: `[B, S]` int64; padding and slots hold no word.
        labels: `[B, S]` int64; `IGNORED` where nothing is learnt.
        positions: `[B, S]` int64, counted from the first real position of each sample, the prefix
            included.
        text_rows: `[T]` int64 flat positions of words.
        target_rows: `[N]` int64 flat positions whose next token is learnt.
        target_ids: `[N]` int64, that next token.
        target_samples: `[N]` int64, the number of its sample.
        slots: By modality, of media in the rows.
        readers: Where the samples stand in the rows, and where in them media beside the rows are.
        beside: `[M]` int64, which of all items each medium beside the rows is, sample after sample.
        media: By modality, the preprocessed items, or their features where they came from a cache.
            What comes several times is there once, where its first slot is; beside other words
            that its aligner reads, it is another item.
        names: What to call each sample.
        parts: Of samples of pairs, which part each is; else empty.
    """

    prefix: tuple[int, ...]
    lengths: tuple[int, ...]
    is_packed: bool
    ids: Tensor
    labels: Tensor
    positions: Tensor
    text_rows: Tensor
    target_rows: Tensor
    target_ids: Tensor
    target_samples: Tensor
    slots: dict[str, Slots]
    readers: tuple[Reader, ...]
    beside: Tensor
    media: dict[str, EncoderInputs | Features]
    names: tuple[str, ...]
    parts: tuple[PairPart, ...] = ()

    @property
    def num_positions(self) -> int:
        """Real positions of all samples, those of the prefix included."""
        return self.num_run + len(self.lengths) * len(self.prefix)

    @property
    def num_run(self) -> int:
        """Real positions that go through the layers; a prefix was read once, before."""
        return sum(self.lengths)

    @property
    def last_rows(self) -> Tensor:
        """`[B]` int64 flat positions at which the samples end, on the device of the batch."""
        last = [reader.start + reader.length - 1 for reader in self.readers]
        return torch.tensor(last, device=self.ids.device)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device; from pinned memory the copy does not wait."""
        moved: Batch = _each(self, lambda tensor: tensor.to(device, non_blocking=True))
        return moved

    def pin_memory(self) -> "Batch":
        """The same batch in memory that a GPU copies from while it computes."""
        pinned: Batch = _each(self, Tensor.pin_memory)
        return pinned


def collate(
    samples: Sequence[Sample],
    *,
    pad_id: int,
    is_packed: bool = False,
    splits_prefix: bool = False,
) -> Batch:
    """Lay samples out side by side, or one after the other.

    Padding stands on the right, where causal attention keeps words from reading it.

    Args:
        samples: At least one.
        pad_id: Stands where there is no word.
        is_packed: Whether all samples go into one row, without padding.
        splits_prefix: Whether the words that all samples begin with are taken out of the rows; for
            language models that do not train.

    Returns:
        The batch, on the CPU.

    Raises:
        DataError: A sample's slots and media items differ in number.
    """
    skipped = _constant_length(samples) if splits_prefix else 0
    lengths = [len(sample.ids) - skipped for sample in samples]
    longest = max(lengths)
    shape = (1, sum(lengths)) if is_packed else (len(samples), longest)
    strides = lengths if is_packed else [longest] * len(samples)
    starts = [0, *accumulate(strides[:-1])]
    ids = torch.full(shape, pad_id).flatten()
    labels, next_ids = torch.full_like(ids, IGNORED), torch.full_like(ids, IGNORED)
    is_text = torch.zeros_like(ids, dtype=torch.bool)
    owners = torch.zeros_like(ids)
    # Counted on through padding: positions that begin again would look like another sample's.
    positions = torch.arange(shape[1]).repeat(shape[0]) + skipped
    slots: dict[str, list[_Place]] = {}
    beside: list[tuple[str, Any]] = []
    for number, (sample, start, own) in enumerate(zip(samples, starts, lengths, strict=True)):
        check_counts(sample)
        rows = slice(start, start + own)
        ids[rows] = sample.ids[skipped:]
        labels[rows] = sample.labels[skipped:]
        next_ids[start : start + own - 1] = sample.labels[skipped + 1 :]
        is_text[rows] = True
        owners[rows] = number
        positions[rows] = torch.arange(skipped, skipped + own)
        for slot, item in zip(sample.slots, item_numbers(sample.slots), strict=True):
            first = start + slot.start - skipped
            is_text[first : first + slot.length] = False
            place = _Place(
                first=first,
                length=slot.length,
                item=sample.media[slot.modality][item],
                window=slot.window,
            )
            slots.setdefault(slot.modality, []).append(place)
            if slot.length == 0:
                beside.append((slot.modality, place.item.key))
    target_rows = (next_ids != IGNORED).nonzero()[:, 0]
    return Batch(
        prefix=tuple(samples[0].ids[:skipped].tolist()),
        lengths=tuple(lengths),
        is_packed=is_packed,
        ids=ids.view(shape),
        labels=labels.view(shape),
        positions=positions.view(shape),
        text_rows=is_text.nonzero()[:, 0],
        target_rows=target_rows,
        target_ids=next_ids[target_rows],
        target_samples=owners[target_rows],
        slots={name: _slots(own) for name, own in slots.items() if own[0].length},
        readers=tuple(
            _reader(sample, start, skipped) for sample, start in zip(samples, starts, strict=True)
        ),
        beside=_numbers(beside, slots),
        media={name: _stack(own) for name, own in slots.items()},
        names=tuple(sample.name for sample in samples),
        parts=tuple(sample.part for sample in samples if sample.part is not None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A slot of the batch, by its first flat position."""

    first: int
    length: int
    item: Item
    window: int


def _reader(sample: Sample, start: int, skipped: int) -> Reader:
    """Where a sample and its media beside the rows stand."""
    return Reader(
        start=start,
        length=len(sample.ids) - skipped,
        offset=skipped,
        places=tuple(slot.start for slot in sample.slots if slot.length == 0),
    )


def _numbers(media: Sequence[tuple[str, Any]], slots: Mapping[str, Sequence[_Place]]) -> Tensor:
    """The number of each medium, by modality and key, among the distinct items of all."""
    items = dict.fromkeys((name, place.item.key) for name, own in slots.items() for place in own)
    numbers = {item: number for number, item in enumerate(items)}
    return torch.tensor([numbers[each] for each in media], dtype=torch.int64)


def _slots(places: Sequence[_Place]) -> Slots:
    """The slots of one modality; what was seen before is not another item."""
    lengths = [place.length for place in places]
    first_seen = {key: n for n, key in enumerate(dict.fromkeys(p.item.key for p in places))}
    keys = [(first_seen[place.item.key], place.window) for place in places]
    # Soft tokens come item after item, and of each item window after window.
    in_order = sorted(dict(zip(keys, lengths, strict=True)).items())
    numbers = {key: number for number, (key, _) in enumerate(in_order)}
    items = [numbers[key] for key in keys]
    rows = None
    if items != list(range(len(items))):
        starts = [0, *accumulate(length for _, length in in_order)]
        rows = _ranges([starts[item] for item in items], lengths)
    return Slots(
        positions=_ranges([place.first for place in places], lengths),
        lengths=tuple(lengths),
        items=tuple(items),
        rows=rows,
    )


def _ranges(starts: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """Numbers that count up from each start, as many as its length."""
    ranges = zip(starts, lengths, strict=True)
    return torch.cat([torch.arange(start, start + length) for start, length in ranges])


def _stack(places: Sequence[_Place]) -> EncoderInputs | Features:
    """The items of one modality, each once."""
    distinct: dict[Any, Item] = {}
    for place in places:
        distinct.setdefault(place.item.key, place.item)
    items = list(distinct.values())
    tensors = [item.tensors for item in items]
    stacked = stack_cached(tensors) if is_cached(tensors[0]) else stack_inputs(tensors)
    return replace(stacked, layouts=layouts_of(items), words=words_of(items), ticks=ticks_of(items))


def _constant_length(samples: Sequence[Sample]) -> int:
    """How many positions all samples begin with alike, before any slot and anything learnt."""
    first = samples[0].ids
    length = min(_num_fixed(sample) for sample in samples)
    for other in samples[1:]:
        same = first[:length] == other.ids[:length]
        length = int(same.int().cumprod(0).sum())
    return length if length >= _SHORTEST_PREFIX else 0


def _num_fixed(sample: Sample) -> int:
    """Positions before the first slot, none of which is asked for the next word."""
    first_learnt = int((sample.labels != IGNORED).int().argmax())
    first_slot = min((slot.start for slot in sample.slots), default=len(sample.ids))
    return min(first_slot, max(0, first_learnt - 1))


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _each(own, change) for name, own in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: _each(getattr(value, f.name), change) for f in fields(value)}
        return replace(value, **changes)
    return value
