import base64
import json
import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from anymal.errors import DataError
from anymal.evaluation.answer_log import AnswerLog, Valued, answer_key
from anymal.evaluation.answers import Reply
from anymal.evaluation.asked import read_asked
from anymal.evaluation.results import Results
from anymal.evaluation.runner import evaluate
from anymal.media.limits import Limits

SOME: dict[str, Any] = {
    "identity": "bundle",
    "task": "colours",
    "label": "media",
    "question": "1",
    "as_asked": "2",
    "max_tokens": 48,
}


@pytest.fixture
def tasks(colours: Any) -> dict[str, list[dict[str, Any]]]:
    records = [colours.record(name, number=index) for index, name in enumerate(colours.names * 4)]
    # One question comes twice, as in data with duplicates.
    return {"first": records, "second": [*records[:5], records[0]]}


def run(
    assistant: Any, tasks: Any, path: Path, *, resume: bool, name: str = "a", batch_size: int = 1
) -> Results:
    log = AnswerLog(path, resume=resume)
    try:
        return evaluate(
            assistant, tasks, batch_size=batch_size, log=log, identities=(name, "other")
        )
    finally:
        log.close()


@pytest.mark.parametrize("stops_after", [0, 1, 7, 30, 43])
def test_killed_and_resumed_is_as_if_it_had_not_been(
    colours: Any, tasks: Any, tmp_path: Path, stops_after: int
) -> None:
    whole = run(colours.assistant(), tasks, tmp_path / "whole.jsonl", resume=False)
    killed = colours.assistant()
    killed.engine.fails_after = stops_after
    with pytest.raises(KeyboardInterrupt):
        run(killed, tasks, tmp_path / "part.jsonl", resume=False)
    second = colours.assistant()
    assert run(second, tasks, tmp_path / "part.jsonl", resume=True) == whole
    num_questions = 3 * (12 + 6)
    assert killed.engine.num_asked + second.engine.num_asked == num_questions
    written = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text().splitlines()]
    assert written == [
        json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()
    ]
    third = colours.assistant()
    assert run(third, tasks, tmp_path / "part.jsonl", resume=True) == whole
    assert third.engine.num_asked == 0
    assert len((tmp_path / "part.jsonl").read_text().splitlines()) == len(written)


def test_answers_that_came_before_a_slow_one_are_kept(
    colours: Any, tasks: Any, tmp_path: Path
) -> None:
    whole = run(colours.assistant(), tasks, tmp_path / "whole.jsonl", resume=False, batch_size=4)
    killed = colours.assistant()
    submit, places, ended = killed.engine.submit, count(), threading.Semaphore(0)

    def slow_first(prompt: Any, sampling: Any) -> Any:
        if next(places) == 0:
            for _ in range(11):  # all others of the task
                assert ended.acquire(timeout=60)
            raise KeyboardInterrupt
        yield from submit(prompt, sampling)
        ended.release()

    killed.engine.submit = slow_first
    with pytest.raises(KeyboardInterrupt):
        run(killed, tasks, tmp_path / "part.jsonl", resume=False, batch_size=4)
    second = colours.assistant()
    again = run(second, tasks, tmp_path / "part.jsonl", resume=True, batch_size=4)
    assert again == whole
    assert second.engine.num_asked == 3 * (12 + 6) - 11


def test_half_a_line_is_written_again(colours: Any, tasks: Any, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    whole = run(colours.assistant(), tasks, path, resume=False)
    text = path.read_text()
    path.write_text(text[:-400])
    assert run(colours.assistant(), tasks, path, resume=True) == whole
    assert path.read_text() == text


def test_another_model_is_asked_again(colours: Any, tasks: Any, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    run(colours.assistant(), tasks, path, resume=False)
    blind = colours.assistant(is_blind=True)
    results = run(blind, tasks, path, resume=True, name="b")
    assert blind.engine.num_asked == 54
    assert results.tasks[0].score.accuracy == pytest.approx(1 / 3)


def test_without_resume_a_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    for text in ("one", "two"):
        log = AnswerLog(path)
        log.add("key", Reply(text=text, ended="stop"), {"task": "t"})
        log.close()
    assert [json.loads(line)["answer"] for line in path.read_text().splitlines()] == ["two"]
    AnswerLog(path).close()
    assert path.read_text(), "nothing is lost before there is something to write"


def test_values_are_written_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    values = [Valued(asked="q", medium="m", value=0.5)]
    for _ in range(2):
        log = AnswerLog(path, resume=True)
        log.add_values("t", "right", values, is_mean=True, highest=1.0)
        log.close()
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["values"] == [["q", "m", 0.5]]


@pytest.mark.parametrize(
    "line",
    [
        *("not json\n", "[]\n", '{"answer": "an old log", "right": true}\n'),
        '{"task": "t", "metric": "right", "is_mean": true, "values": []}\n',
    ],
)
def test_foreign_file_is_not_resumed(tmp_path: Path, line: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"key": "k", "task": "t", "answer": "a", "ended": "stop"}\n' + line)
    with pytest.raises(DataError, match=r"other\.jsonl:2 is not a line"):
        AnswerLog(path, resume=True)


@pytest.mark.parametrize("what", SOME)
def test_key_depends_on_everything(what: str) -> None:
    assert answer_key(**SOME) != answer_key(**{**SOME, what: "another"})


def test_medium_is_known_by_its_content(colours: Any, tmp_path: Path) -> None:
    def asked(record: dict[str, Any]) -> Any:
        prompt = {"messages": record["messages"][:1]}
        return read_asked(prompt, limits=Limits(), base_dir=tmp_path)

    inline, other = colours.record("red"), colours.record("red", number=1)
    url = inline["messages"][0]["content"][0]["image_url"]["url"]
    (tmp_path / "a.png").write_bytes(base64.b64decode(url.partition(",")[2]))
    by_path = colours.record("red")
    by_path["messages"][0]["content"][0]["image_url"]["url"] = "a.png"
    again = colours.record("red", "What colour is it?")
    assert asked(inline) == asked(by_path)
    assert asked(inline).medium != asked(other).medium
    assert asked(inline).medium == asked(again).medium
    assert asked(inline).digest != asked(again).digest
    # Earlier media may be examples that all questions share.
    shot = {"messages": [*other["messages"], inline["messages"][0]]}
    assert read_asked(shot, limits=Limits(), base_dir=None).medium == asked(inline).medium
    inline["messages"][0]["content"][0]["group"] = "g"
    assert asked(inline).digest != asked(by_path).digest
