"""A precision study that was cut short goes on where it stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.precision import study as module
from benchmarks.precision.study import PRECISIONS, Study, pairs, read_rows, write_rows

ALL = [(0, trained, served) for trained in PRECISIONS for served in PRECISIONS]
SETTINGS = {"recipe": "precision.yaml", "seeds": 1, "questions": 2}


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was served, in order; an answer is the precision served at."""
    seen: list[tuple[str, str]] = []

    def load(bundle: Path, trained: str, served: str) -> tuple[str, str]:
        seen.append((bundle.name, served))
        return bundle.name, served

    def measure(model: tuple[str, str], records: object) -> tuple[dict[str, Any], list[str]]:
        return {"heldout_loss": 0.5}, ["same", model[1]]

    monkeypatch.setattr(module, "_bundle", lambda _, trained, __: (Path(trained), 1.0))
    monkeypatch.setattr(module, "_load", load)
    monkeypatch.setattr(Study, "records", lambda _: [{}, {}])
    monkeypatch.setattr(module, "_measure", measure)
    return seen


def study(
    done: set[tuple[int, str, str]], seeds: int = 1, **precisions: list[str]
) -> list[dict[str, Any]]:
    own = Study(recipe=module.RECIPE, seeds=seeds, questions=2, folder=Path("runs"), **precisions)
    return list(pairs(own, done=done))


def keys(rows: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(row["seed"], row["trained"], row["served"]) for row in rows]


def test_pairs_that_are_there_are_left_out_and_the_rest_is_the_same(
    worked: list[tuple[str, str]],
) -> None:
    whole = study(set())
    assert keys(whole) == ALL
    worked.clear()
    rest = study(set(ALL[:6]))
    timed = {"serve_seconds": 0}
    assert [row | timed for row in rest] == [row | timed for row in whole[6:]]
    # The reference answers are asked for again, and no more than them.
    assert worked[0] == ("fp32", "fp32")
    assert worked[1:] == [(trained, served) for _, trained, served in ALL[6:]]


def test_a_seed_that_is_complete_is_not_touched(worked: list[tuple[str, str]]) -> None:
    assert keys(study(set(ALL), seeds=2)) == [(1, *pair) for _, *pair in ALL]
    assert len(worked) == len(ALL)


def test_answers_are_compared_with_the_first_pair(worked: list[tuple[str, str]]) -> None:
    rows = study(set(), trained=["nf4"], served=["fp32", "int4"])
    assert keys(rows) == [(0, "nf4", "fp32"), (0, "nf4", "int4")]
    assert [row["same_answers"]["correct"] for row in rows] == [2, 1]


def test_the_questions_are_those_of_the_recipe() -> None:
    own = Study(recipe=module.RECIPE, seeds=1, questions=3, folder=Path("runs"))
    assert len(own.records()) == 3
    assert all("meta" in record for record in own.records())


def test_rows_are_read_back_for_the_same_settings_and_more_seeds(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    assert read_rows(path, SETTINGS) == []
    write_rows(path, SETTINGS, [{"seed": 0}])
    assert read_rows(path, SETTINGS | {"seeds": 3}) == [{"seed": 0}]
    assert [own.name for own in tmp_path.iterdir()] == ["study.json"]


def test_figures_of_other_settings_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    write_rows(path, SETTINGS, [])
    with pytest.raises(ValueError, match="name another file with --out"):
        read_rows(path, SETTINGS | {"questions": 3})
    assert json.loads(path.read_text())["settings"] == SETTINGS
