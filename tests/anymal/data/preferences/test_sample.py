"""Several answers to each question, by a model that tells what it was asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from anymal.data.checks.talk import read_talk
from anymal.data.preferences.sample import Drawn, Messages, write_answers
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.examples import png

DRAWN = Drawn(model="m", count=2, temperature=1.0, max_tokens=8, seed=10)


class Model:
    """Answers with its seed; breaks down at one."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.asked: dict[int, Messages] = {}
        self.breaks_at = breaks_at

    def __call__(self, messages: Messages, seed: int) -> str:
        if seed == self.breaks_at:
            raise ConnectionError("away")
        self.asked[seed] = messages
        return f"Answer {seed}."


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    (tmp_path / "a.png").write_bytes(png(0))
    image = {"type": "image_url", "image_url": {"url": "a.png"}}
    asked = {"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}
    said = {"role": "assistant", "content": "Red."}
    records: list[dict[str, Any]] = [
        {"messages": [asked, said], "id": "a", "meta": {"from": "b"}},
        {"messages": [asked, said, {"role": "user", "content": "Sure?"}]},
        {"messages": [{"role": "user", "content": "Hi."}], "chosen": "A.", "rejected": "B."},
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return open_rows(DataRecipe(manifest=str(path)))


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_answer_has_its_own_seed(rows: Rows, tmp_path: Path) -> None:
    model = Model()
    write_answers(rows, tmp_path / "out.jsonl", model, DRAWN, concurrent=3)
    records = written(tmp_path / "out.jsonl")
    texts = [[one["text"] for one in record["completions"]] for record in records]
    assert texts == [[f"Answer {n}.", f"Answer {n + 1}."] for n in (10, 12, 14)]
    assert [len(record["messages"]) for record in records] == [1, 3, 1]
    assert records[0]["messages"] == rows[0]["messages"][:1], "media are where they were"
    assert records[0]["id"] == "a"
    assert records[0]["meta"]["from"] == "b"
    assert records[0]["meta"]["sampled"]["seed"] == 10
    assert not any("chosen" in record for record in records)
    assert [read_talk(record).mistakes for record in records] == [()] * 3


def test_a_model_gets_media_and_no_marks(rows: Rows, tmp_path: Path) -> None:
    model = Model()
    write_answers(rows, tmp_path / "out.jsonl", model, DRAWN, concurrent=1)
    shown = model.asked[12][0]["content"][0]["image_url"]["url"]
    assert shown.startswith("data:")
    assert [set(message) for message in model.asked[12]] == [{"role", "content"}] * 3


def test_a_prompt_takes_the_place_of_the_words(rows: Rows, tmp_path: Path) -> None:
    model = Model()
    drawn = Drawn(model="m", count=1, temperature=1.0, max_tokens=8, prompt="Make it up.")
    write_answers(rows, tmp_path / "out.jsonl", model, drawn, concurrent=1)
    kinds = [part["type"] for part in model.asked[0][0]["content"]]
    assert kinds == ["image_url", "text"]
    assert model.asked[0][0]["content"][1]["text"] == "Make it up."
    assert "Make it up." not in json.dumps(written(tmp_path / "out.jsonl")[0]["messages"])


def test_absent_media_are_left_out_of_what_the_model_gets(rows: Rows, tmp_path: Path) -> None:
    model = Model()
    drawn = Drawn(model="m", count=1, temperature=1.0, max_tokens=8, corruption="absent")
    write_answers(rows, tmp_path / "out.jsonl", model, drawn, concurrent=1)
    assert model.asked[0] == [{"role": "user", "content": "What is it?"}]
    assert written(tmp_path / "out.jsonl")[0]["messages"] == rows[0]["messages"][:1]


def test_a_killed_run_goes_on_where_it_was(rows: Rows, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write_answers(rows, whole, Model(), DRAWN, concurrent=2)
    with pytest.raises(ConnectionError):
        write_answers(rows, cut, Model(breaks_at=13), DRAWN, concurrent=2)
    cut.write_text(cut.read_text() + '{"messages": [')
    model = Model()
    counts: list[int] = []
    write_answers(rows, cut, model, DRAWN, concurrent=2, done=counts.append)
    assert sorted(model.asked) == [12, 13, 14, 15]
    assert counts == [1, 2, 3]
    assert cut.read_bytes() == whole.read_bytes()


def test_a_file_of_other_answers_is_kept_as_it_is(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write_answers(rows, path, Model(), DRAWN, concurrent=1)
    before = path.read_bytes()
    other = Drawn(model="m", count=2, temperature=0.5, max_tokens=8, seed=10)
    with pytest.raises(DataError, match=r"out\.jsonl:1 was not written by this command with"):
        write_answers(rows, path, Model(), other, concurrent=1)
    assert path.read_bytes() == before


def test_a_row_without_a_question_is_named(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "assistant", "content": "Hi."}]}))
    rows = open_rows(DataRecipe(manifest=str(path)))
    with pytest.raises(DataError, match=r"asked\.jsonl:1: there is no question"):
        write_answers(rows, tmp_path / "out.jsonl", Model(), DRAWN, concurrent=1)
