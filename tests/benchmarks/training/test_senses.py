"""What the senses are worth: two arms that differ in one thing, and their sums by hand."""

from pathlib import Path
from typing import Any

import pytest

from anymal.evaluation.intervals import wilson
from anymal.recipe.schema import Recipe
from benchmarks.training.senses import (
    ARMS,
    QUESTIONS,
    Question,
    Size,
    compare,
    recipe_of,
    summary,
)

SIZE = Size(steps=2, batch_size=2, questions=4, window_tokens=32)


def arms(question: Question, folder: Path) -> list[dict[str, Any]]:
    recipes = [
        recipe_of(question, arm, seed=1, size=SIZE, folder=folder / arm, num_windows=2)
        for arm in ARMS
    ]
    assert all(isinstance(recipe, Recipe) for recipe in recipes)
    return [recipe.model_dump(exclude={"run_dir"}) for recipe in recipes]


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """The keys in which two recipes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            found
            for key in one.keys() | other.keys()
            for found in differences(one.get(key), other.get(key), f"{path}.{key}")
        }
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return {found for n, (a, b) in pairs for found in differences(a, b, f"{path}.{n}")}
    return set() if one == other else {path.rpartition(".")[2]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clock flash", {"clock", "num_tokens", "grouped"}),
        ("clock shake", {"clock", "num_tokens", "grouped"}),
        ("dropout", {"modality_dropout"}),
        ("facts motion", {"facts"}),
        ("facts sound", {"facts"}),
    ],
)
def test_arms_differ_in_what_is_tried(name: str, expected: set[str], tmp_path: Path) -> None:
    (question,) = (each for each in QUESTIONS if each.name == name)
    with_it, without = arms(question, tmp_path)
    assert differences(with_it, without) == expected


def test_arms_have_as_many_soft_tokens(tmp_path: Path) -> None:
    with_it, without = arms(QUESTIONS[0], tmp_path)
    per_window, whole = (
        each["model"]["modalities"]["audio"]["aligner"]["num_tokens"] for each in (with_it, without)
    )
    assert whole == 2 * per_window


def test_a_summary_adds_seeds() -> None:
    rows = [
        {"question": "q", "task": "t", "arm": arm, "correct": correct, "n": 10}
        for arm, correct in (("with", 9), ("without", 4), ("with", 8))
    ]
    assert summary(rows) == {
        "q": {"t": {"with": wilson(17, 20).model_dump(), "without": wilson(4, 10).model_dump()}}
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_both_arms_train_and_answer(number: int, tmp_path: Path) -> None:
    found = list(compare([QUESTIONS[number]], seeds=[0], size=SIZE, folder=tmp_path))
    assert len(found) == len(ARMS)
    (tasks,) = found[-1]["summary"].values()
    assert set(tasks) == set(QUESTIONS[number].heldout)
    for arms_of_task in tasks.values():
        assert {share["n"] for share in arms_of_task.values()} == {SIZE.questions}
