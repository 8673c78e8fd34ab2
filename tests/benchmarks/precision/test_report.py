"""The precision study's table and picture, from a few rows."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.precision.report import as_table, draw, in_docs, read_pairs


def row(trained: str, served: str, loss: float, right: int) -> dict[str, Any]:
    return {
        "trained": trained,
        "served": served,
        "heldout_loss": loss,
        "accuracy": {"correct": right, "n": 10},
        "same_answers": {"correct": 10, "n": 10},
    }


ROWS = [row("fp32", "fp32", 0.25, 8), row("nf4", "int4", 0.5, 6), row("nf4", "int4", 0.7, 9)]


def test_seeds_are_pooled_in_the_order_of_the_study() -> None:
    pairs = read_pairs(ROWS)
    assert list(pairs) == [("fp32", "fp32"), ("nf4", "int4")]
    pooled = pairs["nf4", "int4"]
    assert pooled.losses == (0.5, 0.7)
    assert (pooled.accuracy.correct, pooled.accuracy.n) == (15, 20)


def test_the_table_says_means_and_intervals() -> None:
    lines = as_table(read_pairs(ROWS)).splitlines()
    assert lines[2].startswith("| fp32 | fp32 | 0.2500 | 80.0 (")
    assert lines[3].startswith("| nf4 | int4 | 0.6000 (0.5000 to 0.7000) | 75.0 (53.1 to 88.8) |")


def test_only_what_is_between_the_marks_of_its_section_is_replaced() -> None:
    other = "<!-- other: written by benchmarks.precision.report -->\nkept\n<!-- /other -->\n"
    begin, end = "<!-- mine: written by benchmarks.precision.report -->", "<!-- /mine -->"
    page = f"above\n\n{other}{begin}\nold\n{end}\nbelow\n"
    once = in_docs(page, "new", section="mine")
    assert once == f"above\n\n{other}{begin}\n\nnew\n\n{end}\nbelow\n"
    assert in_docs(once, "new", section="mine") == once
    with pytest.raises(ValueError, match="write both"):
        in_docs("above", "new", section="mine")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "made" / "precision.png"
    draw(read_pairs(ROWS), path)
    assert path.read_bytes().startswith(b"\x89PNG")
