"""All rows before the first step."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError, MediaCorrupt, TooLong
from anymal.protocol.conversation import Conversation
from anymal.recipe.data_entry import DataRecipe
from anymal.sample import Sample
from train.data.check import check_rows
from train.data.sources import Source, StageData


class FakeProcessor:
    """Words of bad luck are a broken medium, or too long; counts what it is given."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(
        self, conversation: Conversation, *, base_dir: Path | None, generate: bool = False
    ) -> Sample:
        words = str(conversation.messages[0].content)
        self.words.append(words)
        if words == "broken":
            raise MediaCorrupt("a.png", "half a PNG", "a whole one")
        if words == "long":
            raise TooLong("sample takes 900 tokens; the model takes 512")
        ids = torch.arange(len(words))
        return Sample(ids=ids, labels=ids, slots=(), media={})


def manifest(path: Path, *questions: str, answer: str = "Yes.") -> Source:
    rows = [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
        for question in questions
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return opened(path)


def opened(path: Path) -> Source:
    rows = open_rows(DataRecipe(manifest=str(path)))
    return source(rows, path.parent, rows=rows, origin=path.name)


def source(
    records: Any, base_dir: Path | None = None, rows: Rows | None = None, origin: str = "s"
) -> Source:
    return Source(
        name="s",
        origin=origin,
        licence="none",
        records=records,
        weight=1.0,
        base_dir=base_dir,
        rows=rows,
    )


def check(*sources: Source, max_bad: int = 0) -> tuple[str, list[str], list[Source]]:
    """Check the sources as those of a stage; returns what was shown, processed and kept."""
    shown, processor = io.StringIO(), FakeProcessor()
    data = [StageData(training=list(sources), heldout=[])]
    given: Any = processor
    console = Console(file=shown, width=300)
    (kept,) = check_rows(data, given, max_bad=max_bad, console=console)
    return shown.getvalue(), processor.words, kept.training


def test_every_row_is_processed_once(tmp_path: Path) -> None:
    own = manifest(tmp_path / "a.jsonl", *map(str, range(600)))
    shown, words, _ = check(own, own)
    assert sorted(map(int, words)) == list(range(600))
    assert "left out" not in shown


def test_bad_rows_are_named_with_what_to_do(tmp_path: Path) -> None:
    own = manifest(tmp_path / "a.jsonl", "one", "broken", "two", "long")
    with pytest.raises(DataError) as caught:
        check(own, max_bad=1)
    message = str(caught.value)
    assert message.startswith("2 of 4 rows cannot be used, and max_bad is 1: ")
    assert "a.jsonl:2: a.png: found half a PNG" in message
    assert "a.jsonl:4: sample takes 900 tokens" in message
    assert message.endswith("or set max_bad=2 to leave them out")
    assert len(own.records) == 4


def test_as_many_bad_rows_as_allowed_are_left_out_counted_and_named(tmp_path: Path) -> None:
    own = manifest(tmp_path / "a.jsonl", "one", "broken", "two", "long")
    other = manifest(tmp_path / "b.jsonl", "three", "long")
    shown, _, (own, other) = check(own, other, max_bad=3)
    assert "left out 3 of 6 rows (max_bad is 3):" in shown
    for place in ("a.jsonl:2: ", "a.jsonl:4: ", "b.jsonl:2: "):
        assert place in shown
    kept = [own.read(index).messages[0].content for index in range(len(own.records))]
    assert kept == ["one", "two"]
    assert [own.where(index).rpartition(":")[2] for index in range(2)] == ["1", "3"]
    assert len(other.records) == 1


def test_rows_with_empty_answers_are_counted(tmp_path: Path) -> None:
    own = manifest(tmp_path / "a.jsonl", "one", "two", answer=" ")
    shown, _, kept = check(own, manifest(tmp_path / "b.jsonl", "one"))
    assert "a.jsonl: 2 of 2 rows have an answer without words" in shown
    assert "b.jsonl" not in shown
    assert kept[0] is own


def test_a_row_that_cannot_be_read_is_found_with_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    manifest(path, "one", "broken")
    with path.open("a") as file:
        file.write("{no json\n")
    with pytest.raises(DataError, match=r"2 of 3 rows .*a\.jsonl:2: .*a\.jsonl:3: not valid JSON"):
        check(opened(path))


def test_a_manifest_of_bad_rows_alone_is_refused(tmp_path: Path) -> None:
    own = manifest(tmp_path / "a.jsonl", "broken", "long")
    with pytest.raises(DataError, match=r"a\.jsonl' has no row that can be used"):
        check(own, max_bad=2)


def test_python_sources_are_not_read(tmp_path: Path) -> None:
    class Endless:
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("nobody asked")

    _, words, _ = check(source(Endless()), manifest(tmp_path / "a.jsonl", "one"))
    assert words == ["one"]
