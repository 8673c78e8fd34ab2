"""Moments to ticks, by hand."""

import torch

from anymal.intake.clock import Clock

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
