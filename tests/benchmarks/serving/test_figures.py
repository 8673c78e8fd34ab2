"""Figures of a load, computed by hand on a few exchanges."""

import pytest

from benchmarks.serving.figures import Objective, figures, spread
from benchmarks.serving.line import Exchange
from benchmarks.serving.load import medians
from benchmarks.serving.mix import requests

# Due at 0, sent late, first piece after 0.5 s, then gaps of 10 and 30 ms.
QUICK = Exchange(kind="text", due=0, began=0.1, ended=0.6, pieces=(0.5, 0.51, 0.54), num_tokens=3)
SLOW = Exchange(kind="image", due=1, began=1, ended=4, pieces=(3.0, 3.5, 4.0), num_tokens=5)
FAILED = Exchange(kind="text", due=1, began=1, ended=1.1, error="429: queue_full")


def test_rates_are_over_the_whole_time() -> None:
    found = figures([QUICK, SLOW, FAILED])
    assert found["seconds"] == 4
    assert found["requests"] == 3
    assert found["requests_per_s"] == 2 / 4
    assert found["output_tokens_per_s"] == 8 / 4
    assert found["errors"] == {"429: queue_full": 1}


def test_waiting_counts_from_when_a_request_was_due() -> None:
    assert figures([QUICK])["ttft_ms"]["p50"] == 500


def test_gaps_are_those_of_single_answers() -> None:
    gaps = figures([QUICK, SLOW])["itl_ms"]
    assert gaps["p50"] == pytest.approx((30 + 500) / 2)
    assert gaps["max"] == pytest.approx(500)


@pytest.mark.parametrize(
    ("objective", "met"),
    [("ttft:500,itl:21", 1), ("ttft:499", 0), ("itl:19", 0), ("e2e:3000", 2), ("", 2)],
)
def test_goodput_counts_requests_that_meet_the_objective(objective: str, met: int) -> None:
    found = figures([QUICK, SLOW, FAILED], Objective.read(objective))
    assert found["goodput_per_s"] == round(met / 4, 2)
    assert found["good_share"] == round(met / 3, 4)


def test_spread_interpolates() -> None:
    assert spread([float(number) for number in range(101)]) == {"p50": 50, "p99": 99, "max": 100}
    assert spread([]) == {"p50": None, "p99": None, "max": None}


def test_rounds_are_joined_by_their_medians() -> None:
    rounds = [
        {"tokens": 1.0, "ttft": {"p50": 3.0}, "errors": {"a": 1}},
        {"tokens": 9.0, "ttft": {"p50": 1.0}, "errors": {"a": 1, "b": 2}},
        {"tokens": 2.0, "ttft": {"p50": None}, "errors": {}},
    ]
    assert medians(rounds) == {"tokens": 2, "ttft": {"p50": 2}, "errors": {"a": 2, "b": 2}}


def test_requests_come_by_seed_and_share() -> None:
    shares = {"text": 1, "imu": 3}
    asked = requests(40, shares=shares, seed=3, num_media=2)
    assert asked == requests(40, shares=shares, seed=3, num_media=2)
    assert asked != requests(40, shares=shares, seed=4, num_media=2)
    kinds = [each.kind for each in asked]
    assert set(kinds) == {"text", "imu"}
    assert kinds.count("imu") > kinds.count("text")
    assert all(b'"input_imu"' in each.body for each in asked if each.kind == "imu")
