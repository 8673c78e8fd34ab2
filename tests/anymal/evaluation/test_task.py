import json
from itertools import pairwise
from pathlib import Path

import pytest

from anymal.errors import DataError
from anymal.evaluation.suites import load_suites
from anymal.evaluation.task import Task, as_tasks, pick, read_manifest
from anymal.recipe.data_entry import DataRecipe

RECORDS = [{"id": str(index), "messages": []} for index in range(50)]


def test_pick_is_repeatable_and_in_order() -> None:
    chosen = pick(RECORDS, 10)
    assert chosen == pick(RECORDS, 10)
    assert [int(record["id"]) for record in chosen] == sorted(int(r["id"]) for r in chosen)
    assert len(chosen) == 10
    assert pick(RECORDS, None) == pick(RECORDS, 50) == pick(RECORDS, 99) == RECORDS


def test_pick_is_not_every_nth() -> None:
    places = [int(record["id"]) for record in pick(RECORDS, 10)]
    assert len({after - before for before, after in pairwise(places)}) > 1


def test_manifest_is_split_by_task(tmp_path: Path) -> None:
    path = tmp_path / "heldout.jsonl"
    rows = [
        {"messages": [], "meta": {"task": "b"}},
        {"messages": [], "meta": {"task": "a"}, "id": "mine"},
        {"messages": []},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    tasks = read_manifest(DataRecipe(manifest=str(path)))
    assert [task.name for task in tasks] == ["b", "a", "heldout"]
    assert {task.base_dir for task in tasks} == {tmp_path}
    assert tasks[0].records[0]["id"] == f"{path}:1"
    assert tasks[1].records[0]["id"] == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows"),
        (
            '{"messages": []}\n{\n[1]\n',
            r"2 of 3 rows .*jsonl:2: not valid JSON.*jsonl:3: .* object",
        ),
    ],
)
def test_bad_manifest_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "heldout.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_manifest(DataRecipe(manifest=str(path)))


def test_missing_manifest_names_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give 'tiny', .*'coco', .*or a data file"):
        load_suites([str(tmp_path / "none.jsonl")], data=None)


def test_mapping_is_enough() -> None:
    assert [task.name for task in as_tasks({"digits": RECORDS})] == ["digits"]
    tasks = [Task(name="x", records=RECORDS, target=90)]
    assert as_tasks(tasks) == tasks
