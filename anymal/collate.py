"""Samples to a batch: padding, and every index that the GPU path needs, worked out on the CPU.

Does not decode, tokenise, or touch a device on its own.

Shapes: B samples, S fused length, M media items of one modality in the batch, Q soft tokens per
item, T text tokens, N target tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from anymal.errors import DataError
from anymal.processor import IGNORED, Sample
from encoders.base import EncoderInputs, stack_inputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Samples side by side. Flat positions count through `[B, S]` row by row.

    Attributes:
        ids: `[B, S]` int64; padding and slots hold no word.
        labels: `[B, S]` int64; `IGNORED` where nothing is learnt.
        mask: `[B, S]` bool, True at real positions; from lengths, not from ids.
        positions: `[B, S]` int64, counted from the first real position of each sample.
        is_padded: Whether the mask is False anywhere.
        text_rows: `[T]` int64 flat positions of words.
        target_rows: `[N]` int64 flat positions whose next token is learnt.
        target_ids: `[N]` int64, that next token.
        slots: By modality, `[M, Q]` int64 flat positions.
        media: By modality, the preprocessed items in the order of the slots.
        names: What to call each sample.
    """

    ids: Tensor
    labels: Tensor
    mask: Tensor
    positions: Tensor
    is_padded: bool
    text_rows: Tensor
    target_rows: Tensor
    target_ids: Tensor
    slots: dict[str, Tensor]
    media: dict[str, EncoderInputs]
    names: tuple[str, ...]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(
            ids=self.ids.to(device),
            labels=self.labels.to(device),
            mask=self.mask.to(device),
            positions=self.positions.to(device),
            is_padded=self.is_padded,
            text_rows=self.text_rows.to(device),
            target_rows=self.target_rows.to(device),
            target_ids=self.target_ids.to(device),
            slots={name: rows.to(device) for name, rows in self.slots.items()},
            media={name: inputs.to(device) for name, inputs in self.media.items()},
            names=self.names,
        )


def collate(
    samples: Sequence[Sample], *, pad_id: int, side: Literal["left", "right"] = "right"
) -> Batch:
    """Pad samples to one length.

    Args:
        samples: At least one.
        pad_id: Stands where there is no word.
        side: Where padding goes: right to train, left to generate.

    Returns:
        The batch, on the CPU.

    Raises:
        DataError: A sample's slots and media items differ in number.
    """
    lengths = [len(sample.ids) for sample in samples]
    length = max(lengths)
    starts = [length - own if side == "left" else 0 for own in lengths]
    shape = (len(samples), length)
    ids = torch.full(shape, pad_id, dtype=torch.int64)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    mask = torch.zeros(shape, dtype=torch.bool)
    is_text = torch.zeros(shape, dtype=torch.bool)
    slots: dict[str, list[Tensor]] = {}
    for row, (sample, start, own) in enumerate(zip(samples, starts, lengths, strict=True)):
        check_counts(sample)
        ids[row, start : start + own] = sample.ids
        labels[row, start : start + own] = sample.labels
        mask[row, start : start + own] = True
        is_text[row, start : start + own] = True
        for slot in sample.slots:
            first = start + slot.start
            is_text[row, first : first + slot.length] = False
            flat = torch.arange(slot.length) + (row * length + first)
            slots.setdefault(slot.modality, []).append(flat)
    next_ids = torch.full_like(labels, IGNORED)
    next_ids[:, :-1] = labels[:, 1:]
    target_rows = (next_ids.flatten() != IGNORED).nonzero()[:, 0]
    return Batch(
        ids=ids,
        labels=labels,
        mask=mask,
        positions=(mask.cumsum(dim=1) - 1).clamp(min=0),
        is_padded=min(lengths) < length,
        text_rows=is_text.flatten().nonzero()[:, 0],
        target_rows=target_rows,
        target_ids=next_ids.flatten()[target_rows],
        slots={name: torch.stack(rows) for name, rows in slots.items()},
        media={name: _stack(samples, name) for name in slots},
        names=tuple(sample.name for sample in samples),
    )


def check_counts(sample: Sample) -> None:
    """Refuse a sample with more slots than media items, or fewer.

    Raises:
        DataError: The message names both numbers.
    """
    modalities = {slot.modality for slot in sample.slots} | set(sample.media)
    for modality in sorted(modalities):
        num_slots = sum(slot.modality == modality for slot in sample.slots)
        num_items = len(sample.media.get(modality, []))
        if num_slots != num_items:
            raise DataError(
                f"{sample.name} reserves {num_slots} slots for {modality} but holds {num_items} "
                "items; make both with the same Processor"
            )


def _stack(samples: Sequence[Sample], modality: str) -> EncoderInputs:
    """All items of one modality, in order."""
    return stack_inputs([item for sample in samples for item in sample.media.get(modality, [])])
