"""Who gets a place, and who has to wait."""

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.engine.base import EngineBusy
from server.answering.places import Places
from server.edge.caller_limits import CallerLimits
from server.edge.keys import Caller
from server.errors import RateLimited

ADA, BOB = Caller(name="ada"), Caller(name="bob")


def fill(places: Places, caller: Caller, stack: ExitStack, number: int = 1) -> int:
    """Take places until one is refused; returns how many were given."""
    given = 0
    while True:
        try:
            stack.enter_context(places.admit(caller, number))
        except (EngineBusy, RateLimited):
            return given
        given += number


def test_one_who_is_alone_gets_all() -> None:
    places = Places(4)
    with ExitStack() as stack:
        assert fill(places, ADA, stack) == 4
        with pytest.raises(EngineBusy, match="4 answers are in progress, and 1 more would exceed"):
            stack.enter_context(places.admit(BOB, 1))
    with places.admit(BOB, 4):
        pass


@pytest.mark.parametrize(("number", "first", "second"), [(64, 48, 12), (16, 12, 3), (1, 1, 0)])
def test_the_last_places_are_kept_for_others(number: int, first: int, second: int) -> None:
    places = Places(number, are_shared=lambda: True)
    with ExitStack() as stack:
        assert fill(places, ADA, stack) == first
        assert fill(places, BOB, stack) == second
        if number > 1:
            with pytest.raises(RateLimited, match=r"(48|12) answers"):
                stack.enter_context(places.admit(ADA, 1))


def test_answers_count_not_requests() -> None:
    places = Places(64, are_shared=lambda: True)
    with ExitStack() as stack:
        assert fill(places, ADA, stack, number=8) == 48


def test_own_limit_counts_answers() -> None:
    places, caller = Places(64), Caller(name="ada", max_concurrent=3)
    with places.admit(caller, 2):
        with pytest.raises(RateLimited, match=r"2 answers of this key .* its limit of 3"):
            places.admit(caller, 2).__enter__()
        with places.admit(caller, 1):
            pass


def test_answers_count_by_the_minute_and_nothing_is_held_when_refused() -> None:
    places = Places(64, limits=CallerLimits(lambda: 0.0))
    caller = Caller(name="ada", requests_per_minute=10)
    with places.admit(caller, 8):  # seven more than the request that the door counted
        pass
    with pytest.raises(RateLimited, match="10 requests a minute"):
        places.admit(caller, 5).__enter__()
    with places.admit(BOB, 64):
        pass


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(8, 80))
def test_a_newcomer_always_finds_a_place(callers: int, number: int) -> None:
    places = Places(number, are_shared=lambda: True)
    with ExitStack() as stack:
        for index in range(callers):
            fill(places, Caller(name=f"flood {index}"), stack)
        held = fill(places, Caller(name="new"), stack)
        assert held >= 1 or number < 4**callers
