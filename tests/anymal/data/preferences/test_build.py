"""Pairs of a data set with several answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from anymal.data.checks.talk import read_talk
from anymal.data.preferences.build import Pairs, find_pairs, of_equal_length
from anymal.data.preferences.rules import RULES
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe

ASKED = [{"role": "user", "content": "What is there?"}]


def opened(folder: Path, *records: Any) -> Rows:
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return open_rows(DataRecipe(manifest=str(path)))


def scored(*given: tuple[str, float], **more: Any) -> dict[str, Any]:
    completions = [{"text": text, "score": score} for text, score in given]
    return {"messages": ASKED, "completions": completions, **more}


def pairs_of(rows: Rows, rule: str = "unequal", **options: Any) -> Pairs:
    return Pairs(rows, find_pairs(rows, RULES[rule], tick=lambda: None, **options))


def test_each_pair_is_a_record_that_names_its_scores(tmp_path: Path) -> None:
    rows = opened(
        tmp_path,
        scored(("A cat.", 2), ("A dog.", 1), ("Fog.", 1), id="a", meta={"from": "b"}),
        scored(("A cat.", 1), ("A cat.", 2), (" ", 3)),
    )
    made = pairs_of(rows)
    assert [Path(made.where(number)).name for number in (0, 1)] == ["answers.jsonl:1"] * 2
    assert len(made) == 2
    assert made[1] == {
        "id": "a-0-2",
        "messages": ASKED,
        "chosen": "A cat.",
        "rejected": "Fog.",
        "meta": {"from": "b", "chosen_score": 2, "rejected_score": 1},
    }
    assert [read_talk(record).mistakes for record in (made[0], made[1])] == [(), ()]


def test_long_answers_make_no_pair(tmp_path: Path) -> None:
    rows = opened(tmp_path, scored(("A cat.", 2), ("A big dog.", 1), ("Fog.", 1)))
    assert len(pairs_of(rows, max_words=2)) == 1


def test_pairs_are_held_to_one_length(tmp_path: Path) -> None:
    rows = opened(
        tmp_path,
        scored(("a " * 2, 2), ("b " * 10, 1)),
        scored(("a " * 9, 2), ("b " * 10, 1)),
        scored(("a " * 11, 2), ("b " * 10, 1)),
    )
    kept, ratio = of_equal_length(pairs_of(rows).places)
    assert ratio == 0.22
    assert [place.row for place in kept] == [1, 2]
    with pytest.raises(DataError, match="makes no pair"):
        of_equal_length([])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": ASKED, "chosen": "A.", "rejected": "B."}, "has no completions"),
        (scored(("A.", "good")), "completions.0.score is 'good'; a completion is"),  # type: ignore[arg-type]
    ],
)
def test_other_records_are_refused_with_their_place(
    tmp_path: Path, record: Any, message: str
) -> None:
    with pytest.raises(DataError, match=rf"answers\.jsonl:1: .*{message}"):
        pairs_of(opened(tmp_path, record))
