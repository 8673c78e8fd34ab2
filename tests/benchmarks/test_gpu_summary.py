"""Figures of the GPU benchmark, computed by hand on a few rows."""

from typing import Any

from benchmarks.gpu_memory import largest
from benchmarks.gpu_summary import summary

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


def test_the_largest_micro_batch_is_found_from_above_and_from_below() -> None:
    def fits(limit: int) -> Any:
        return lambda number: number <= limit

    assert largest(fits(62), guess=64, most=128) == 60  # 64 does not, 60 does, 63 does not
    assert largest(fits(70), guess=64, most=128) == 68  # 64 does, 68 does, 72 does not
    assert largest(fits(10), guess=64, most=4) == 4
    assert largest(fits(0), guess=1, most=4) == 0
