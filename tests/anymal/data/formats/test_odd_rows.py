"""Rows of shapes that no format has: each is an error of its row, whatever it holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from anymal.data.checks.run import Counts, find_problems
from anymal.data.importing import import_rows
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.evaluation.task import read_manifest
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.examples import UID, ego4d, mimicit, png, write_json, write_tar
from tests.anymal.data.reading import media, words

ANSWER = {"role": "assistant", "content": "a"}
FRAMES = {"type": "video_url", "video_url": {"url": ["1.png", "2.png"]}}
ASKED = {"role": "user", "content": [FRAMES]}


def lines(folder: Path, rows: list[Any], format: str, name: str = "rows.jsonl") -> Rows:
    folder.joinpath(name).write_text("\n".join(map(json.dumps, rows)))
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(png(number))
    manifest = str(folder / name)
    return open_rows(DataRecipe.model_validate({"manifest": manifest, "format": format}))


def kinds(rows: Rows) -> list[tuple[str, str]]:
    """The end of the place, and the kind, of each problem of the rows."""
    found = list(find_problems(rows, "all", Counts()))
    assert all(one.mistake.reason and one.mistake.change for one in found)
    ends = [(one.where.rpartition("/")[2], one.mistake.kind) for one in found]
    return [(where, kind) for where, kind in ends if kind != "licence"]


@pytest.mark.parametrize(
    ("format", "row", "told"),
    [
        ("llava", {"conversations": [{"from": {}, "value": "q"}]}, "0.from is {}; a role is a wo"),
        ("trl", {"prompt": [{"role": [], "content": "q"}]}, "prompt.0.role is []; a role is a wo"),
        ("swift", {"conversation": [{"human": "q", "assistant": "r"}, 5]}, "a round is 5; it sho"),
        ("swift", {"query": "q", "response": "r", "objects": {"ref": 5}}, "bbox should be lists"),
        ("swift", {"query": "q", "response": "r", "objects": {"bbox": "1"}}, "bbox should be lis"),
        (
            "llava",
            {"conversations": [{"from": "human", "value": "q"}], "image": "\udce9"},
            "no UTF",
        ),
    ],
)
def test_an_odd_row_is_an_error_that_says_what_it_should_be(
    tmp_path: Path, format: str, row: Any, told: str
) -> None:
    rows = lines(tmp_path, [row], format)
    with pytest.raises(DataError, match=r"rows.jsonl:1: ") as caught:
        rows[0]
    assert told in str(caught.value)
    assert kinds(rows) == [("rows.jsonl:1", "unreadable")]


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([ASKED, {"role": "assistant"}], "blank_answer"),
        ([ASKED, "a"], "no_answer"),
        ([ASKED, [None]], "no_answer"),
        ([ASKED, 5], "no_answer"),
    ],
)
def test_frames_beside_what_is_no_message(tmp_path: Path, messages: Any, kind: str) -> None:
    rows = lines(tmp_path, [{"messages": messages}], "anymal")
    assert ("rows.jsonl:1", kind) in kinds(rows)


@pytest.mark.parametrize("name", [5, [["1.png"]], {"url": "1.png"}, True])
def test_files_without_a_name(tmp_path: Path, name: Any) -> None:
    rows = lines(tmp_path, [{"file_name": name, "text": "x"}], "folder", "metadata.jsonl")
    with pytest.raises(DataError, match=r"jsonl:1: the ending of .* does not say what the file is"):
        rows[0]


def test_a_long_role_is_cut(tmp_path: Path) -> None:
    messages = [{"role": "x" * 5000, "content": "q"}, ANSWER]
    rows = lines(tmp_path, [{"messages": messages, "k" * 5000: 1}], "anymal")
    assert all(len(one.mistake.reason) < 300 for one in find_problems(rows, "all", Counts()))


@pytest.mark.parametrize("own", ["1.png", {"url": "1.png"}, ["1.png"], 5])
def test_files_beside_media_of_the_row_are_refused(tmp_path: Path, own: Any) -> None:
    rows = lines(
        tmp_path, [{"file_name": "1.png", "text": "x", "images": own}], "folder", "metadata.jsonl"
    )
    with pytest.raises(DataError, match=r"jsonl:1: the row has images, and files beside it; keep"):
        rows[0]
    archive = {"0.png": png(0), "0.json": json.dumps({"text": "x", "images": own}).encode()}
    path = write_tar(tmp_path / "a.tar", archive)
    rows = open_rows(DataRecipe(manifest=str(path), format="webdataset"))
    with pytest.raises(DataError, match=r"a.tar:0: the row has images, and files beside it; keep"):
        rows[0]


def test_the_json_of_a_sample_may_name_its_members(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image> q"}, {"from": "gpt", "value": "a"}]
    film = {"type": "video_url", "video_url": {"url": ["2.a.png", "2.b.png"]}}
    rows_of = {
        "0": {"image": "0.png", "conversations": turns},
        "1": {"images": ["1.png"], "conversations": turns, "image": None},
        "2": {"messages": [{"role": "user", "content": [film]}, ANSWER]},
        "3": {"messages": ["no message", {"role": "user", "content": [None]}, ANSWER]},
    }
    members = {f"{name}.json": json.dumps(row).encode() for name, row in rows_of.items()}
    members |= {name: png(n) for n, name in enumerate(["0.png", "1.png", "2.a.png", "2.b.png"])}
    members = dict(sorted(members.items()))
    path = write_tar(tmp_path / "a.tar", members)
    rows = open_rows(DataRecipe(manifest=str(path), format="webdataset", licence="MIT"))
    assert [media(rows[0]), media(rows[1])] == [[png(0)], [png(1)]]
    assert words(rows[0]) == ["user: [] q", "assistant: a"]
    (joined,) = media(rows[2])
    assert joined[:4] == b"\x1a\x45\xdf\xa3"  # a film of two frames
    assert kinds(rows) == [("a.tar:3", "unreadable")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": 5}, "LA_INS_1 has no answer in words"),
        ({"image_ids": "LA_IMG_1"}, "image_ids of LA_INS_1 is 'LA_IMG_1', no list of ids"),
        ({"image_ids": [["LA_IMG_1"]]}, "no list of ids"),
        ({"rel_ins_ids": 5}, "rel_ins_ids is 5, and no list"),
        ({"rel_ins_ids": [[]]}, "has no instruction []"),
    ],
)
def test_odd_instructions_of_mimicit(tmp_path: Path, change: Any, told: str) -> None:
    entry = mimicit(tmp_path)
    path = tmp_path / "LA_instructions.json"
    whole = json.loads(path.read_text())
    whole["data"]["LA_INS_1"] |= change
    write_json(path, whole)
    rows = open_rows(DataRecipe(**entry))
    with pytest.raises(DataError, match=r"LA_instructions.json:LA_INS_1: ") as caught:
        rows[0]
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "messages"),
        ({"messages": 5}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "user", "content": "\ud800"}, ANSWER]}, "half of a character"),
        ({"messages": [{"role": "user", "content": "q"}, ANSWER], "id": "\ud800"}, "written as JS"),
    ],
)
def test_what_is_no_record_is_not_imported(tmp_path: Path, row: Any, told: str) -> None:
    rows = lines(tmp_path, [row], "anymal")
    with pytest.raises(DataError, match=r"rows.jsonl:1: ") as caught:
        import_rows(rows, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_narration_without_a_key_is_missed_when_the_file_is_opened(tmp_path: Path) -> None:
    entry = ego4d(tmp_path)
    path = tmp_path / "narration.json"
    videos = json.loads(path.read_text())
    del videos[UID]["narration_pass_1"]["narrations"][0]["annotation_uid"]
    write_json(path, videos)
    with pytest.raises(DataError, match=rf"json:{UID}: not as Ego4D publishes .*annotation_uid"):
        open_rows(DataRecipe(**entry))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    tmp_path.joinpath("class_labels_indices.csv").write_text("mid,display_name\n")
    with pytest.raises(DataError, match=r"none.csv' does not exist"):
        open_rows(DataRecipe(manifest=str(tmp_path / "none.csv"), format="audioset"))


def test_what_is_too_deep_where_a_key_should_be(tmp_path: Path) -> None:
    path = tmp_path / "narration.json"
    path.write_text("[" * 3 + "{}," + "[" * 5000 + "]" * 5003)
    with pytest.raises(DataError, match=r"begins no entry of an object"):
        open_rows(DataRecipe(manifest=str(path), format="ego4d"))


def test_meta_that_is_no_object_is_not_evaluated(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "q"}, ANSWER], "meta": "colours"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"rows.jsonl:1: meta is 'colours', and no object"):
        read_manifest(DataRecipe(manifest=str(path)))
