"""Kinds of mistakes, and what errors become."""

import re
from pathlib import Path

from anymal.data.checks.mistake import KINDS, Mistake, mistake_of
from anymal.errors import DataError, MediaCorrupt

DOCUMENT = Path(__file__).parents[4] / "docs" / "data.md"


def test_the_documents_list_every_kind() -> None:
    section = DOCUMENT.read_text().split("## Find the mistakes")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == list(KINDS)


def test_an_error_of_a_row_is_split_into_reason_and_change() -> None:
    error = DataError("a.jsonl:3: two media for one placeholder; write one for each; or none")
    assert mistake_of(error, "unreadable", change="?", where="a.jsonl:3") == Mistake(
        kind="unreadable",
        reason="two media for one placeholder",
        change="write one for each; or none",
    )
    assert mistake_of(DataError("so"), "shape", change="not so").change == "not so"


def test_an_error_of_a_medium_tells_its_kind() -> None:
    mistake = mistake_of(MediaCorrupt("a.png", "half a PNG", "a whole one"), "unfit", change="")
    assert (mistake.kind, mistake.reason) == ("broken", "a.png: half a PNG")
    assert mistake.change == "accepted: a whole one"
