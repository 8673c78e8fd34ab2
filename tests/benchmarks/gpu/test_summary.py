"""Figures of the GPU benchmark, computed by hand on a few rows."""

from typing import Any

import pytest

from benchmarks.gpu.memory import largest
from benchmarks.gpu.summary import summary

CEILINGS = {"case": "ceilings", "copy_bytes_per_s": 4000, "product_flops": 6000}
BUILD = {"case": "build", "planned_bytes": 40, "weights": 10}


def train(who: str, speed: float, **more: Any) -> dict[str, Any]:
    return {"case": "train", "who": who, "lora": True, "tokens": 8, "tokens_per_s": speed, **more}


def test_a_step_is_compared_with_the_plain_one_of_its_size() -> None:
    rows = [
        train("ours", 60.0, peak_bytes=90, planned_bytes=100),
        train("plain", 99.0) | {"tokens": 16},
        train("plain", 40.0),
    ]
    assert summary([CEILINGS, BUILD, *rows]) == {
        "train lora=True tokens=8": {
            "tokens_per_s": 60.0,
            "times_the_plain_way": 1.5,
            "share_of_ceiling": 0.6,  # 6000 / (2 * 3 * 10) = 100
            "measured_over_planned": 0.9,
        }
    }


def test_decoding_is_compared_with_reading_all_weights_at_every_step() -> None:
    row = {"case": "decode", "who": "ours", "batch": 2, "tokens_per_s": 50.0}
    found = summary([CEILINGS, BUILD, row])["decode batch=2"]
    assert found["share_of_ceiling"] == 0.25  # 2 * 4000 / 40 = 200


def test_a_peer_without_memory_is_left_out() -> None:
    peer = {"case": "train", "who": "plain", "lora": True, "tokens": 8, "out_of_memory": True}
    assert summary([train("ours", 60.0), peer]) == {
        "train lora=True tokens=8": {"tokens_per_s": 60.0}
    }


def test_steps_are_compared_by_samples_and_with_the_ceiling_by_what_ran() -> None:
    """Positions that need not run count for the comparison, and not as work of the card."""
    rows = [
        train("ours", 60.0, samples_per_s=3.0),
        train("plain", 50.0, samples_per_s=2.0),
    ]
    found = summary([CEILINGS, BUILD, *rows])["train lora=True tokens=8"]
    assert (found["times_the_plain_way"], found["share_of_ceiling"]) == (1.5, 0.6)


@pytest.mark.parametrize("limit", [1, 2, 3, 17, 40, 45, 64, 100, 127, 128])
@pytest.mark.parametrize("guess", [8, 25, 50, 64, 128])
def test_the_largest_micro_batch_is_found_whatever_the_guess(limit: int, guess: int) -> None:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= limit

    found = largest(fits, guess=guess, most=128)
    assert found == {"samples": max(n for n in asked if n <= limit), "tries": len(asked)}
    assert len(set(asked)) == len(asked)
    assert set(asked) <= set(range(1, 129))
    assert limit - limit // 16 <= found["samples"] <= limit


def test_none_fits_or_all_do() -> None:
    assert largest(lambda number: False, guess=2, most=4) == {"samples": 0, "tries": 2}
    assert largest(lambda number: True, guess=64, most=4) == {"samples": 4, "tries": 1}


def test_a_search_that_was_cut_short_says_so() -> None:
    found = largest(lambda number: number <= 999, guess=1, most=2000)
    assert found == {"samples": 512, "tries": 10, "limited_by_tries": True, "too_many": None}
    found = largest(lambda number: number <= 5, guess=1000, most=2000)
    assert found == {"samples": 5, "tries": 10, "limited_by_tries": True, "too_many": 7}
