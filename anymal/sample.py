"""One processed conversation, as the CPU path makes it and the GPU path reads it.

Does not process or batch.

Shapes: S fused length, Q soft tokens per item, W windows of one item.
"""

from dataclasses import dataclass

from torch import Tensor

from anymal.errors import DataError
from encoders.base import Layout

IGNORED = -100  # a label that is not learnt


SLOT_ID = -1  # stands in a slot; outside every vocabulary, so that looking it up would fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Positions that a media item's soft tokens will take.

    Attributes:
        modality: The item's modality, or `embeds`; slots of one are in the order of its items.
        start: First position.
        length: Q.
    """

    modality: str
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One medium, ready to be encoded.

    Attributes:
        tensors: Preprocessed, each `[W, ...]`, or cached features (see `anymal.features.store`);
            under `embeds`, soft tokens that the conversation brought, `[Q, D_llm]`.
        digest: SHA-256 of the medium; items of a modality with equal digests are the same.
        layout: Of its features, where the length of its slot depends on it.
    """

    tensors: dict[str, Tensor]
    digest: str
    layout: Layout | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One conversation, ready to be batched.

    Attributes:
        ids: `[S]` int64; `SLOT_ID` in slots.
        labels: `[S]` int64; `IGNORED` where nothing is learnt.
        slots: Where soft tokens go, in order.
        media: Items by modality.
        name: What errors and reports call it.
    """

    ids: Tensor
    labels: Tensor
    slots: tuple[Slot, ...]
    media: dict[str, list[Item]]
    name: str = "sample"


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
