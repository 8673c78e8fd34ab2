"""Moments to ticks, by hand."""

import pytest
import torch

from anymal.errors import ConversationError
from anymal.intake.clock import Clock, on_clock
from anymal.protocol.group import Group
from anymal.sample import Item

CLOCK = Clock(window_s=0.2)


def ticks(*times_s: float, start_s: float = 0.0) -> list[int]:
    found: list[int] = CLOCK.ticks(torch.tensor(times_s), start_s=start_s).tolist()
    return found


def test_a_tick_holds_what_is_seen_until_the_next() -> None:
    assert ticks(0.0, 0.19, 0.2, 0.39, 1.0) == [0, 0, 1, 1, 5]


def test_whole_ticks_do_not_slip_by_rounding() -> None:
    # 0.6 / 0.2 is 2.9999999999999996 in binary.
    assert ticks(0.6, 0.8, 1.4) == [3, 4, 7]


def test_a_later_beginning_moves_all_of_it() -> None:
    assert ticks(0.0, 0.1, 0.2, start_s=0.5) == [2, 3, 3]


def test_what_is_on_screen_at_the_beginning_is_seen_there() -> None:
    assert ticks(-0.05, 0.1) == [0, 0]
    assert ticks(-0.05, start_s=0.4) == [2]


@pytest.mark.parametrize("start_s", [1.7e9, 1e30, 1e308])
def test_a_beginning_told_as_a_date_is_refused(start_s: float) -> None:
    # So far out, neighbouring ticks are one number in float32, or overflow.
    with pytest.raises(ConversationError, match=r"^a\.wav begins at .* not from a date"):
        begun_at(start_s)


def test_a_late_beginning_is_taken() -> None:
    assert begun_at(2e6) == [10_000_000, 10_000_001]


def begun_at(start_s: float) -> list[int]:
    item = on_clock(
        Item(tensors={}, digest="d"),
        CLOCK,
        lambda _signal, _tensors: torch.tensor([0.0, 0.2]),
        signal=object(),
        group=Group(name="g", start_s=start_s),
        name="a.wav",
    )
    assert item.ticks is not None
    found: list[int] = item.ticks.tolist()
    return found
