"""Every mistake is found in its row, and no other."""

import json
import time
from pathlib import Path

import pytest

from anymal.data.checks.mistake import KINDS, Problem
from anymal.data.checks.run import Counts, find_problems
from anymal.data.registry import open_rows
from anymal.playground import sources
from anymal.playground.manifest import write_manifest
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.checks.planted import plant

TOPICS = (sources.scenes, sources.clips, sources.sounds, sources.motions)


def problems_of(path: Path, counts: Counts | None = None, **entry: object) -> list[Problem]:
    given = {"manifest": str(path), "licence": "CC0-1.0"} | entry
    rows = open_rows(DataRecipe.model_validate(given))
    return list(find_problems(rows, str(path), counts or Counts()))


def by_line(problems: list[Problem]) -> list[tuple[int, str]]:
    return [(int(one.where.rpartition(":")[2]), one.mistake.kind) for one in problems]


def write_clean(folder: Path, size: int) -> Path:
    records = [made for topic in TOPICS for made in topic(split="train", size=size // len(TOPICS))]
    return write_manifest(records, folder)


def test_each_mistake_is_found_in_its_row_and_nothing_else(tmp_path: Path) -> None:
    planted = plant(tmp_path)
    found = problems_of(tmp_path / "train.jsonl", media=str(tmp_path / "media"))
    assert by_line(found) == sorted(planted.items())
    assert all(one.mistake.reason and one.mistake.change for one in found)
    left = {"licence", "too_large", "unfit", "too_long", "nothing_learnt"}  # tested below
    left |= {"no_number"}  # of a stage; tested in test_talk
    assert {one.mistake.kind for one in found} == set(KINDS) - left


def test_reasons_name_what_was_found(tmp_path: Path) -> None:
    plant(tmp_path)
    found = problems_of(tmp_path / "train.jsonl", media=str(tmp_path / "media"))
    reasons = "\n".join(one.mistake.reason for one in found)
    for reason in (
        "not valid JSON",
        "messages.0 has the role 'human'",
        "a PNG image that was cut short at 900 bytes",
        "photo.png is named .png and is a JPEG image",
        "NaN or no value at row 8, column ay",
        "time that does not advance at row 51",
        " in the acceleration, which looks like the unit g, not m/s2",
        "a declared rate of 90 Hz and times that make 50 Hz",
    ):
        assert reason in reasons, reason


@pytest.mark.parametrize(
    ("images", "values", "kind", "reason"),
    [
        (["good.png"], ["No medium?", "None."], "unreadable", "0 placeholders <image> for 1"),
        (["good.png"], ["<image> <image>?", "Two."], "unreadable", "2 placeholders <image> for 1"),
        ("good.png", ["<image>?", "One."], "not_a_list", "images is a string"),
    ],
)
def test_placeholders_and_media_are_counted(
    tmp_path: Path, images: object, values: list[str], kind: str, reason: str
) -> None:
    plant(tmp_path)
    turns = [
        {"role": role, "content": value}
        for role, value in zip(("user", "assistant"), values, strict=True)
    ]
    path = tmp_path / "media" / "rows.json"
    path.write_text(json.dumps([{"messages": turns, "images": images}]))
    (found,) = problems_of(path, format="sharegpt")
    assert (found.mistake.kind, found.where) == (kind, f"{path}:1")
    assert reason in found.mistake.reason


def test_a_data_set_needs_a_licence(tmp_path: Path) -> None:
    path = write_clean(tmp_path, 4)
    (found,) = problems_of(path, licence="unknown")
    assert (found.where, found.mistake.kind) == (str(path), "licence")


def test_clean_rows_have_no_problems_and_are_counted(tmp_path: Path) -> None:
    counts = Counts()
    assert problems_of(write_clean(tmp_path, 40), counts) == []
    assert counts.media == {name: {1: 10} for name in ("image", "video", "audio", "imu")}
    assert counts.sizes["image"] == {96.0: 10}
    assert sum(counts.words.values()) == 40
    assert not counts.tokens


@pytest.mark.slow
def test_ten_thousand_clean_rows_take_less_than_a_minute(tmp_path: Path) -> None:
    path = write_clean(tmp_path, 10_000)
    began = time.process_time()
    assert problems_of(path) == []
    assert time.process_time() - began < 60  # of all threads together: less by the clock
