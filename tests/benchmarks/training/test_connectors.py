"""Ways from a picture into the model: what trains, what stands in the row, and sums by hand."""

from pathlib import Path

import pytest

from anymal.evaluation.intervals import wilson
from benchmarks.training.connectors import (
    NUM_FEATURES,
    NUM_TOKENS,
    WAYS,
    Size,
    compare,
    recipe_of,
    shape_of,
    summary,
)

SIZE = Size(steps=2, batch_size=2, questions=2, timed=1)


def test_ways_differ_in_the_connector_alone(tmp_path: Path) -> None:
    recipes = []
    for way in WAYS:
        values = recipe_of(way, seed=1, size=SIZE, folder=tmp_path / way).model_dump()
        values["model"]["side"] = values["model"]["modalities"]["image"]["aligner"] = None
        recipes.append({**values, "run_dir": None})
    assert all(values == recipes[0] for values in recipes)


@pytest.mark.parametrize(
    ("way", "row_tokens"),
    [("perceiver", NUM_TOKENS), ("projection", NUM_FEATURES), ("cross", 0), ("prefix", 0)],
)
def test_what_stands_in_the_row(way: str, row_tokens: int, tmp_path: Path) -> None:
    shape = shape_of(recipe_of(way, seed=1, size=SIZE, folder=tmp_path / way))
    assert shape["row_tokens"] == row_tokens
    assert shape["trainable"] > 0


def test_a_summary_adds_seeds() -> None:
    rows = [
        {"way": "cross", "correct": correct, "n": 10, "trainable": 5, "row_tokens": 0}
        | {"samples_per_s": speed, "first_word_ms": 2 * speed}
        for correct, speed in ((9, 100.0), (6, 300.0))
    ]
    assert summary(rows) == {
        "cross": {
            "accuracy": wilson(15, 20).model_dump(),
            "trainable": 5,
            "row_tokens": 0,
            "samples_per_s": 200.0,
            "first_word_ms": 400.0,
        }
    }


@pytest.mark.slow
def test_all_train_and_answer(tmp_path: Path) -> None:
    (found,) = compare(seeds=[0], size=SIZE, folder=tmp_path)
    assert set(found["summary"]) == set(WAYS)
    assert {row["accuracy"]["n"] for row in found["summary"].values()} == {SIZE.questions}
