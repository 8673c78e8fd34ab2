"""How often a caller may ask: told by a clock that only tests move."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.edge.caller_limits import CallerLimits, TokenBucket
from server.edge.keys import ANONYMOUS, Caller
from server.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(limits: CallerLimits, caller: Caller) -> None:
    with limits.admit(caller):
        pass


def test_a_minutes_worth_may_come_at_once_and_then_one_at_a_time() -> None:
    clock = Clock()
    limits, caller = CallerLimits(clock), Caller(name="ada", requests_per_minute=30)
    for _ in range(30):
        ask(limits, caller)
    with pytest.raises(
        RateLimited, match=r"30 requests a minute .*; try again in 2\.0 s"
    ) as refused:
        ask(limits, caller)
    assert refused.value.retry_after == pytest.approx(2)
    clock.now += 2
    ask(limits, caller)
    with pytest.raises(RateLimited):
        ask(limits, caller)


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.floats(0.5, 100))
def test_never_more_than_the_bucket_and_what_flowed_in(waits: list[float], rate: float) -> None:
    clock = Clock()
    bucket, taken = TokenBucket(rate, clock), 0
    for wait in waits:
        clock.now += wait
        taken += bucket.take() == 0
    assert taken <= max(1, rate) + sum(waits) * rate / 60 + 1e-6


@settings(deadline=None)
@given(st.floats(0.5, 1000))
def test_waiting_as_long_as_told_is_enough(rate: float) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    while (wait := bucket.take()) == 0:
        pass
    clock.now += wait + 1e-6
    assert bucket.take() == 0


def test_callers_do_not_share_limits_and_some_have_none() -> None:
    limits = CallerLimits(Clock())
    ada, bob = (Caller(name=name, requests_per_minute=1) for name in ("ada", "bob"))
    ask(limits, ada)
    ask(limits, bob)
    with pytest.raises(RateLimited):
        ask(limits, ada)
    for _ in range(1000):
        ask(limits, ANONYMOUS)


def test_changed_rate_counts_at_once() -> None:
    limits = CallerLimits(Clock())
    ask(limits, Caller(name="ada", requests_per_minute=1))
    for _ in range(5):
        ask(limits, Caller(name="ada", requests_per_minute=5))


def test_places_are_given_back_also_after_errors() -> None:
    limits, caller = CallerLimits(Clock()), Caller(name="ada", max_concurrent=2)
    with (
        limits.admit(caller),
        limits.admit(caller),
        pytest.raises(RateLimited, match="2 requests"),
    ):
        ask(limits, caller)
    with pytest.raises(ZeroDivisionError), limits.admit(caller):
        raise ZeroDivisionError
    with limits.admit(caller), limits.admit(caller):
        pass


def test_request_that_finds_no_place_costs_nothing() -> None:
    limits = CallerLimits(Clock())
    caller = Caller(name="ada", max_concurrent=1, requests_per_minute=2)
    with limits.admit(caller):
        for _ in range(9):
            with pytest.raises(RateLimited, match="the limit is 1"):
                ask(limits, caller)
    ask(limits, caller)
