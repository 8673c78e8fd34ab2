"""The media of one conversation, collected while it is read, each with its place in the row.

Does not decode or preprocess.
"""

from dataclasses import dataclass, field, replace

from anymal.chat.segments import MediaSegment
from anymal.intake.clock import segments_of, windows_of
from anymal.media.budget import Budget
from anymal.protocol.group import Group
from anymal.sample import Item, SlotLengths


@dataclass(slots=True, kw_only=True)
class Collected:
    """Media by modality.

    Attributes:
        budget: What all of them together may hold.
        items: In the order in which they were added.
        text: That of the message being read; an answer is not shown to aligners.
        lengths: Of each item, the positions of its slots.
    """

    budget: Budget
    text: str = ""
    items: dict[str, list[Item]] = field(default_factory=dict)
    lengths: dict[str, list[list[int]]] = field(default_factory=dict)

    def add(self, modality: str, item: Item, lengths: list[int]) -> MediaSegment:
        """Keep an item and the lengths of its slots; returns its place."""
        items = self.items.setdefault(modality, [])
        items.append(item)
        self.lengths.setdefault(modality, []).append(lengths)
        return MediaSegment(modality=modality, index=len(items) - 1)

    def place(
        self,
        modality: str,
        item: Item,
        own: SlotLengths,
        *,
        name: str,
        around: tuple[str, str, str],
        group: Group | None,
    ) -> list[MediaSegment]:
        """Keep an item; returns its places with the text around them.

        Args:
            modality: Its modality.
            item: Preprocessed, with ticks if it is on a clock.
            own: How long its slots are.
            name: What errors call it.
            around: The text before it, its facts, and the text after it.
            group: What its part says of a clock.

        Raises:
            DataError: See `SlotLengths.slot_length`.
            TooLong: Likewise.
        """
        lengths = [own.slot_length(window, name=name) for window in windows_of(item)]
        prefix, facts, suffix = around
        slot = replace(self.add(modality, item, lengths), prefix=prefix, facts=facts, suffix=suffix)
        return segments_of(slot, item, group)

    def length(self, place: MediaSegment) -> int:
        """How many positions a place takes."""
        return self.lengths[place.modality][place.index][place.window]
