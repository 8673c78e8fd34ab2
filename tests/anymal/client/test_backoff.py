"""Waits double, vary, end somewhere, and follow what the service asks for."""

import httpx
import pytest

from anymal.client.backoff import Backoff, asked_wait_s

EARLY = "Sun, 06 Nov 1994 08:49:37 GMT"
LATE = "Sun, 06 Nov 1994 08:50:07 GMT"


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(draw=lambda: 0.0)
    assert [backoff.wait_s(n, None) for n in (0, 1, 2, 3, 4, 5, 10**6)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_chance_shortens_by_up_to_half() -> None:
    assert Backoff(draw=lambda: 0.999).wait_s(2, None) == pytest.approx(1.0, abs=0.01)
    backoff = Backoff()
    waits = {backoff.wait_s(2, None) or 0 for _ in range(100)}
    assert len(waits) > 50
    assert 1 < min(waits) <= max(waits) <= 2


def test_service_is_never_asked_before_it_wants() -> None:
    assert Backoff(draw=lambda: 0.0).wait_s(0, 20) == 20
    assert Backoff(draw=lambda: 0.8).wait_s(0, 20) == pytest.approx(20.4)
    assert Backoff().wait_s(0, 60.1) is None
    assert Backoff(longest_asked_s=100, draw=lambda: 0.0).wait_s(0, 60.1) == 60.1


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"Retry-After": " 12 "}, 12),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\xb2"}, None),
        ({"Retry-After": LATE, "Date": EARLY}, 30),
        ({"Retry-After": EARLY, "Date": LATE}, 0),
        ({"Retry-After": LATE}, 20),
        ({"Retry-After": LATE.replace("GMT", "-0000")}, 20),
        ({"Retry-After": LATE, "Date": "today"}, 20),
        ({"Retry-After": "Sun, 06 Nov 99999 08:50:07 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], wanted: float | None) -> None:
    ten_seconds_past_early = 784111787.0
    assert (
        asked_wait_s(httpx.Headers(headers, encoding="latin-1"), lambda: ten_seconds_past_early)
        == wanted
    )
