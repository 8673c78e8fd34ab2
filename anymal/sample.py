"""One processed conversation, as the CPU path makes it and the GPU path reads it.

Does not process or batch.

Shapes: S fused length, Q soft tokens per item, W windows of one item.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from aligners.clock import windows_at
from aligners.limits import MOST_TOKENS
from anymal.errors import ConversationError, DataError, TooLong
from encoders.base import Layout

IGNORED = -100  # a label that is not learnt


SLOT_ID = -1  # stands in a slot; outside every vocabulary, so that looking it up would fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Positions that a media item's soft tokens will take.

    Attributes:
        modality: The item's modality, or `embeds`; slots of one are in the order of its items,
            unless they name them.
        start: First position.
        length: Q; 0 where the medium stands beside the row, and is read from here on.
        item: The number of the item among those of its modality; None is the next one.
        window: The number of this slot among those of its item.
    """

    modality: str
    start: int
    length: int
    item: int | None = None
    window: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One medium, ready to be encoded.

    Attributes:
        tensors: Preprocessed, each `[W, ...]`, or cached features (see `anymal.features.store`);
            under `embeds`, soft tokens that the conversation brought, `[Q, D_llm]`.
        digest: SHA-256 of the medium.
        layout: Of its features, where the length of its slot depends on it.
        ticks: `[N]` int64, when on a clock each of its N real features was seen; it then has a slot
            for each distinct one, in order. None where it is on none.
        words: Ids of the words beside it, where its aligner reads them.
    """

    tensors: dict[str, Tensor]
    digest: str
    layout: Layout | None = None
    ticks: Tensor | None = None
    words: tuple[int, ...] | None = None

    @property
    def key(self) -> tuple[str, tuple[int, ...] | None]:
        """Items of a modality with equal keys have equal soft tokens."""
        return self.digest, self.words


def layouts_of(items: Sequence[Item]) -> tuple[Layout, ...] | None:
    """The layouts of items, where all of them have one."""
    layouts = tuple(item.layout for item in items if item.layout is not None)
    return layouts if len(layouts) == len(items) else None


def num_windows(item: Item) -> int:
    """How many slots an item has."""
    return 1 if item.ticks is None else len(windows_at(item.ticks))


def ticks_of(items: Sequence[Item]) -> tuple[Tensor | None, ...] | None:
    """The ticks of items, where any of them is on a clock."""
    if all(item.ticks is None for item in items):
        return None
    return tuple(item.ticks for item in items)


def words_of(items: Sequence[Item]) -> tuple[tuple[int, ...], ...] | None:
    """The words beside items, where all of them have some."""
    words = tuple(item.words for item in items if item.words is not None)
    return words if len(words) == len(items) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntRun:
    """Words that are learnt and were tokenised together.

    Attributes:
        text: The words; empty of a special token.
        follows: What stands before them; see `anymal.chat.tokens`.
        length: How many ids they are.
    """

    text: str
    follows: Literal["nothing", "special", "text"]
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPart:
    """Which part of a record with a chosen and a rejected answer a sample is.

    Attributes:
        branch: The answer, and what was done to the media; see `anymal.objectives.terms.Branch`.
        key: SHA-256 of all that the sample's score depends on beside the weights.
        numbers: Of the record, by name, for losses that weigh by them.
        weights: How much the log-probability of each target token counts; None is 1 each.
        phrases: Of each target token, the number of its phrase, from 1; 0 outside phrases. None
            where answers are compared as a whole.
    """

    branch: str
    key: str
    numbers: Mapping[str, float]
    weights: tuple[float, ...] | None = None
    phrases: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One conversation, ready to be batched.

    Attributes:
        ids: `[S]` int64; `SLOT_ID` in slots.
        labels: `[S]` int64; `IGNORED` where nothing is learnt.
        slots: Where soft tokens go, in order.
        media: Items by modality.
        answers: Ids of given answers to grade after it; none where it is learnt or answered.
        facts: `[S]` bool, which ids tell what was measured of media; None where none does.
        name: What errors and reports call it.
        part: Of a pair; None of a conversation by itself.
        learnt: The words behind the labels, in order.
    """

    ids: Tensor
    labels: Tensor
    slots: tuple[Slot, ...]
    media: dict[str, list[Item]]
    answers: tuple[tuple[int, ...], ...] = ()
    facts: Tensor | None = None
    name: str = "sample"
    part: PairPart | None = None
    learnt: tuple[LearntRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLengths:
    """How long the slots of one modality are.

    Attributes:
        num_tokens: Q of every item; None where `count` tells it of each.
        count: Q of an item, from its layout; the aligner's own.
        is_beside: Whether items stand beside the row (`anymal.side`), where they take no position.
    """

    num_tokens: int | None
    count: Callable[[Layout], int] | None = None
    is_beside: bool = False

    @property
    def least_tokens(self) -> int:
        """Positions of the shortest item."""
        if self.is_beside:
            return 0
        return 1 if self.num_tokens is None else self.num_tokens

    @property
    def most_tokens(self) -> int:
        """Positions of the longest item."""
        if self.is_beside:
            return 0
        return MOST_TOKENS if self.num_tokens is None else self.num_tokens

    def slot_length(self, item: Item, *, name: str) -> int:
        """Positions that an item takes.

        Args:
            item: Preprocessed, or from a cache.
            name: What errors call it.

        Raises:
            DataError: It comes from a cache that does not tell its layout.
            TooLong: It takes more than any medium may.
        """
        if self.num_tokens is not None:
            return 0 if self.is_beside else self.num_tokens
        assert self.count is not None, "an aligner without a fixed number counts"
        if item.layout is None:
            raise DataError(
                f"{name}: the cached features do not tell how they are laid out, which num_tokens: "
                "null needs; delete their folder and run `anymal data encode` again"
            )
        if (length := self.count(item.layout)) > MOST_TOKENS:
            raise TooLong(
                f"{name} takes {length} soft tokens; one medium may take {MOST_TOKENS}; send a "
                "shorter or smaller one, or train an aligner with a fixed num_tokens"
            )
        return 0 if self.is_beside else length


def told_of(slots: Sequence[Slot]) -> str:
    """How many positions media take, and which medium takes most where they differ."""
    told = f"{sum(slot.length for slot in slots)} of them for media"
    if len({slot.length for slot in slots}) > 1:
        largest = max(slots, key=lambda slot: slot.length)
        told += f", {largest.length} for one {largest.modality} alone"
    return told


def item_numbers(slots: Sequence[Slot]) -> list[int]:
    """The number of the item of each slot, among those of its modality."""
    after = Counter[str]()  # the next item of each modality
    numbers = []
    for slot in slots:
        number = after[slot.modality] if slot.item is None else slot.item
        after[slot.modality] = max(after[slot.modality], number + 1)
        numbers.append(number)
    return numbers


def check_teaches(sample: Sample) -> None:
    """Refuse a sample to train on in which nothing is learnt.

    Raises:
        ConversationError: It is such a sample.
    """
    if not bool((sample.labels != IGNORED).any()):
        raise ConversationError(
            f"{sample.name} has no answer that is learnt, so there is nothing to learn; "
            "end the conversation with the wanted answer"
        )


def check_counts(sample: Sample) -> None:
    """Refuse a sample with slots for more media items than it holds, or for fewer.

    Raises:
        DataError: The message names both numbers.
    """
    numbers = zip(sample.slots, item_numbers(sample.slots), strict=True)
    shown = {(slot.modality, number) for slot, number in numbers}
    for modality in sorted({name for name, _ in shown} | set(sample.media)):
        num_slots = sum(name == modality for name, _ in shown)
        num_items = len(sample.media.get(modality, []))
        if num_slots != num_items:
            raise DataError(
                f"{sample.name} reserves {num_slots} slots for {modality} but holds {num_items} "
                "items; make both with the same Processor"
            )
