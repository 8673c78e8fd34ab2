"""One clock for several media: ticks of their features, and their slots in the order of time.

Does not encode or align; `aligners.clock` reads tick by tick.

Shapes: N real features of one medium.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from aligners.clock import windows_at
from anymal.chat.segments import MediaSegment, Segment
from anymal.errors import ConversationError
from anymal.protocol.group import Group
from anymal.sample import Item
from encoders.base import Layout, TimesOf

_SLIP = 1e-6  # of a time that ought to be a whole number of ticks
_LAST_TICK = (
    2**24
)  # beyond it, float32, in which the model gets times, cannot tell neighbouring ticks apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How time is cut.

    Attributes:
        window_s: Seconds between two ticks.
    """

    window_s: float

    def ticks(self, times_s: Tensor, *, start_s: float) -> Tensor:
        """The ticks of moments, `[N]` int64.

        Args:
            times_s: `[N]`, from the beginning of the medium; the frame that is on screen there may
                have come before it.
            start_s: Where the medium begins on the clock.
        """
        times_s = times_s.double().clamp(min=0) + start_s
        return (times_s / self.window_s + _SLIP).floor().long()


def on_clock(
    item: Item, clock: Clock | None, times: TimesOf | None, *, signal: Any, group: Group, name: str
) -> Item:
    """An item of a group, with the ticks of its features.

    Args:
        item: Preprocessed.
        clock: The model's.
        times: The encoder's.
        signal: What the item was made from; None where its features come from a cache.
        group: What its part says.
        name: What errors call it.

    Raises:
        ConversationError: The model has no clock, or does not know when it saw what, or the medium
            begins too late on the clock.
    """
    if clock is None:
        raise ConversationError(
            "this model has no clock, so its media cannot be put into a group; leave group out, or "
            "train one with model.clock"
        )
    if times is None:
        raise ConversationError(
            f"{name} cannot be in a group: its encoder does not tell when it saw what; leave "
            "group out"
        )
    if signal is None:
        raise ConversationError(
            f"{name} cannot be in a group: cached features have no times; set features=null"
        )
    if group.start_s / clock.window_s > _LAST_TICK:
        raise ConversationError(
            f"{name} begins at {group.start_s:g} s on the clock of its group; the latest is "
            f"{_LAST_TICK * clock.window_s:g} s; count start_s from the beginning of the group's "
            "first medium, not from a date"
        )
    ticks = clock.ticks(times(signal, item.tensors), start_s=group.start_s)
    digest = hashlib.sha256(f"{item.digest} {ticks.tolist()}".encode()).hexdigest()
    return replace(item, ticks=ticks, digest=digest)


def windows_of(item: Item) -> list[Item]:
    """An item as the slots of its windows see it, in order; another item is its own only window."""
    if item.ticks is None:
        return [item]
    counts = windows_at(item.ticks).values()
    return [replace(item, layout=Layout(before=count)) for count in counts]


def segments_of(slot: MediaSegment, item: Item, group: Group | None) -> list[MediaSegment]:
    """A medium as segments: one, or one for each of its windows.

    The text around it stands before its first window and behind its last, and a chat template is
    shown the first.
    """
    if item.ticks is None or group is None:
        return [slot]
    ticks = list(windows_at(item.ticks))
    last = len(ticks) - 1
    return [
        replace(
            slot,
            window=window,
            tick=tick,
            group=group.name,
            stands_for=slot.stands_for if window == 0 else "",
            prefix=slot.prefix if window == 0 else "",
            facts=slot.facts if window == last else "",
            suffix=slot.suffix if window == last else "",
        )
        for window, tick in enumerate(ticks)
    ]


def in_time_order(content: Sequence[Segment]) -> list[Segment]:
    """Put the windows of each group in the order of time, where its first medium stands.

    Windows of one tick are in the order of their media.
    """
    groups: dict[str, list[MediaSegment]] = {}
    for item in content:
        if isinstance(item, MediaSegment) and item.group is not None:
            groups.setdefault(item.group, []).append(item)
    ordered: list[Segment] = []
    for item in content:
        if not isinstance(item, MediaSegment) or item.group is None:
            ordered.append(item)
        else:  # all of them, where the first one stands
            ordered += sorted(groups.pop(item.group, ()), key=lambda each: each.tick)
    return ordered
