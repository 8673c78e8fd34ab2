"""Which records are written, with a model that is played."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from anymal.engine.sampling import Sampling
from anymal.errors import DataError
from train.data.records import check_record, has_empty_answer
from train.replies.speaker import Said
from train.replies.write import ReplyOptions, read_prompts, write_replies


class Played:
    """Makes up prompts by their seed, some of them twice or without an end, and counts calls."""

    def __init__(self) -> None:
        self.seeds: list[int | None] = []

    def make_up(self, sampling: Sequence[Sampling]) -> list[Said]:
        return [self._prompt(one.seed or 0) for one in sampling]

    def reply(self, prompts: Sequence[str], sampling: Sequence[Sampling]) -> list[Said]:
        self.seeds += [one.seed for one in sampling]
        return [
            Said(text=f"About {prompt}", is_whole="number 3 " not in prompt) for prompt in prompts
        ]

    @staticmethod
    def _prompt(seed: int) -> Said:
        if seed % 5 == 0:
            return Said(text="Hi there", is_whole=True)  # too short to be a question
        if seed % 5 == 1:
            return Said(text=f"what is number {seed} and so on and", is_whole=False)
        return Said(text=f"what is number {seed // 2 * 2 + 1} ?", is_whole=True)


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_are_new_whole_questions_and_replies_whole(tmp_path: Path) -> None:
    path, played = tmp_path / "replies.jsonl", Played()
    counts: list[int] = []
    options = ReplyOptions(size=6)
    assert write_replies(path, options, speaker=lambda: played, done=counts.append) == 6
    prompts = [row["messages"][0]["content"] for row in _rows(path)]  # type: ignore[index]
    # Of 2 and 3 only one is asked, number 3, whose reply has no end; 5, 6, 10 and 11 are no
    # prompts; 8 and 9 are the same, and so are 12 and 13.
    assert prompts == [f"what is number {n} ?" for n in (5, 7, 9, 13, 15, 17)]
    assert counts == [0, 1, 2, 3, 4, 5, 6]
    for row in _rows(path):  # training reads it
        assert not has_empty_answer(check_record(row, where="row", base_dir=tmp_path))


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    write_replies(whole, ReplyOptions(size=9), speaker=Played)
    write_replies(parts, ReplyOptions(size=4), speaker=Played)
    resumed = Played()
    write_replies(parts, ReplyOptions(size=9), speaker=lambda: resumed)
    assert parts.read_text() == whole.read_text()
    drawn = [int(str(row["id"]).removeprefix("reply-")) for row in _rows(parts)]
    assert min(s for s in resumed.seeds if s is not None) > drawn[3]  # none is asked twice


def test_a_file_that_is_complete_loads_no_model(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    write_replies(path, ReplyOptions(size=2), speaker=Played)

    def refuse() -> Played:
        raise AssertionError("the model is loaded")

    assert write_replies(path, ReplyOptions(size=2), speaker=refuse) == 2


def test_given_prompts_are_asked_once_each_and_may_run_out(tmp_path: Path) -> None:
    given = tmp_path / "prompts.txt"
    given.write_text("Tell me a joke\n\nwhat is number 3 ?\nTell me a joke\nName a river\n")
    prompts = read_prompts(given)
    assert prompts == ["Tell me a joke", "what is number 3 ?", "Name a river"]
    path, options = tmp_path / "replies.jsonl", ReplyOptions(size=50, prompts=prompts)
    assert write_replies(path, options, speaker=Played) == 2
    assert [row["id"] for row in _rows(path)] == ["reply-0", "reply-2"]


def test_a_model_that_repeats_itself_is_given_up(tmp_path: Path) -> None:
    class Stuck(Played):
        @staticmethod
        def _prompt(seed: int) -> Said:
            return Said(text="always the same question", is_whole=True)

    with pytest.raises(DataError, match=r"there are 1; ask for fewer with --size"):
        write_replies(tmp_path / "replies.jsonl", ReplyOptions(size=2), speaker=Stuck)


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"image": "a.png", "text": "a cat"}\n')
    with pytest.raises(DataError, match="not written by this command"):
        write_replies(path, ReplyOptions(size=2), speaker=Played)
    assert path.read_text() == '{"image": "a.png", "text": "a cat"}\n'
    with pytest.raises(DataError, match="no file"):
        read_prompts(tmp_path / "absent.txt")
