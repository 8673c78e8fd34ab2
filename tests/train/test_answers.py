from pathlib import Path

from train.answers import answer_tasks
from train.data.sources import Source


def source(name: str, answers: list[str | None], base_dir: Path | None = None) -> Source:
    return Source(
        name=name,
        origin=name,
        licence="none",
        records=[
            {"messages": [], "meta": {"answer": answer}} if answer else {"messages": []}
            for answer in answers
        ],
        weight=1.0,
        base_dir=base_dir,
    )


def test_only_records_with_answers_are_asked_source_by_source(tmp_path: Path) -> None:
    sources = [
        source("captions", [None, None]),
        source("signs", ["one", None, "two"], tmp_path),
        source("signs", ["three"]),
    ]
    tasks = answer_tasks(sources, limit=100)
    assert [(task.name, task.base_dir, len(task.records)) for task in tasks] == [
        ("signs", tmp_path, 2),
        ("signs", None, 1),
    ]
    assert answer_tasks(sources[:1], limit=100) == []


def test_no_more_than_the_limit_is_asked() -> None:
    tasks = answer_tasks([source("a", ["x"] * 50), source("b", ["y"] * 50)], limit=10)
    assert [len(task.records) for task in tasks] == [5, 5]
