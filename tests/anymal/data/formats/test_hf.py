"""Saved folders, Parquet shards and the Hub: splits, features, usual columns."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS
from tests.anymal.data import examples
from tests.anymal.data.examples import png
from tests.anymal.data.reading import media, opened, words

AUDIO = PROMPTS["audio"]


@pytest.mark.parametrize("save", [examples.hf_saved, examples.hf_parquet])
def test_hf_reads_features_of_media_and_of_labels(tmp_path: Path, save: Any) -> None:
    rows = opened(save(tmp_path))
    assert len(rows) == 3
    assert words(rows[2]) == ["user: []Which colour has picture 2?", "assistant: blue"]
    assert media(rows[2]) == [png(2)]


@pytest.mark.parametrize("save", [examples.hf_saved, examples.hf_parquet])
def test_hf_asks_which_of_several_splits(tmp_path: Path, save: Any) -> None:
    entry = save(tmp_path)
    assert words(opened(entry, split="test")[0])[0].startswith("user: []Which colour")
    with pytest.raises(DataError, match="name one as split"):
        opened(entry, split=None)
    with pytest.raises(DataError, match="split is 'dev'; name one of them"):
        opened(entry, split="dev")


def test_hf_takes_one_split_of_a_saved_data_set(tmp_path: Path) -> None:
    entry = examples.hf_saved(tmp_path)
    assert len(opened(entry, manifest=str(tmp_path / "test"), split=None)) == 1
    with pytest.raises(DataError, match="without splits; leave split out"):
        opened(entry, manifest=str(tmp_path / "test"), split="test")


def test_hf_fetches_a_revision_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def fake(
        name: str, *, repo_type: str, revision: str, allow_patterns: list[str], **options: object
    ) -> str:
        assert options == {"ignore_patterns": [], "local_files_only": False}
        asked.append((name, repo_type, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", fake)
    entry = examples.hf_parquet(tmp_path)
    assert len(opened(entry, manifest="org/pictures@v1.0")) == 3
    assert asked == [("org/pictures", "dataset", "v1.0", ["*train*.parquet"])]


def test_hf_says_what_the_hub_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="data set 'org/none' at revision 'main' cannot be fetched"):
        opened({"manifest": "org/none@main", "format": "hf"})


def test_hf_says_that_the_connection_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*words: object, **options: object) -> None:
        raise HTTPError("peer closed connection\nmore")

    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", lost)
    with pytest.raises(DataError, match=r"can be reached, .* \(peer closed connection\)$"):
        opened({"manifest": "org/pictures@main", "format": "hf"})


def hf_table(folder: Path, rows: list[dict[str, Any]]) -> examples.Entry:
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return {"manifest": str(folder / "a.parquet"), "format": "hf"}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            {
                "images": [{"bytes": b"a", "path": None}, {"bytes": b"b", "path": None}],
                "messages": [
                    {"role": "user", "content": "Compare <image> with <image>."},
                    {"role": "assistant", "content": "Same."},
                ],
            },
            ["user: Compare [] with [].", "assistant: Same."],
        ),
        (
            {
                "image": {"bytes": b"a", "path": None},
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat?"},
                    {"from": "gpt", "value": "This."},
                ],
            },
            ["user: []What?", "assistant: This."],
        ),
        (
            {"audio": {"bytes": b"a", "path": "a.wav"}, "prompt": "What?", "completion": "A bird."},
            ["user: []What?", "assistant: A bird."],
        ),
        (
            {"audio": {"bytes": b"a", "path": None}, "caption": "A bird sings."},
            [f"system: {AUDIO.system}[]", f"user: {AUDIO.user}", "assistant: A bird sings."],
        ),
    ],
)
def test_hf_knows_the_usual_columns(tmp_path: Path, row: dict[str, Any], found: list[str]) -> None:
    assert words(opened(hf_table(tmp_path, [row]))[0]) == found


def test_hf_takes_other_columns_by_name_and_a_prompt(tmp_path: Path) -> None:
    rows = [{"photo": {"bytes": b"a", "path": None}, "q": "Is it red?", "a": "Yes", "rest": 1}]
    named = {"image": "photo", "question": "q", "answer": "a"}
    record = opened(hf_table(tmp_path, rows), columns=named, prompt="vqa")[0]
    assert words(record)[1:] == [
        "user: In the image, Is it red? Reply in one word.",
        "assistant: Yes",
    ]
    assert media(record) == [b"a"]
    with pytest.raises(DataError, match=r"a.parquet:1: the row has photo, q, a, rest: neither"):
        opened(hf_table(tmp_path, rows))[0]


def test_hf_reads_paths_below_media(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": None, "path": "p/1.png"}, "text": "A square."}]
    found = opened(hf_table(tmp_path, rows), media="/data")
    assert media(found[0]) == ["p/1.png"]
    assert found.base_dir == Path("/data")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_hf_refuses_a_saved_folder_with_a_damaged_list(tmp_path: Path, text: str) -> None:
    entry = examples.hf_saved(tmp_path)
    (tmp_path / "train" / "state.json").write_text(text)
    with pytest.raises(DataError, match=r"state.json is not as `save_to_disk` writes it"):
        opened(entry)


@pytest.mark.parametrize("names", [("train", "test"), ("a_training-0", "a_test-0")])
def test_hf_takes_no_split_for_a_part_of_another(tmp_path: Path, names: tuple[str, str]) -> None:
    for number, name in enumerate(names):
        pq.write_table(examples.pictures([number]), tmp_path / f"{name}.parquet")
    entry = {"manifest": str(tmp_path), "format": "hf"}
    assert media(opened(entry, split="test")[0]) == [png(1)]
    with pytest.raises(DataError, match="has the splits test, train; name one as split"):
        opened(entry)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(examples.pictures([0]).slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet' has no rows"):
        opened({"manifest": str(tmp_path / "a.parquet"), "format": "hf"})


def test_hf_takes_no_number_without_a_name_for_a_label(tmp_path: Path) -> None:
    names = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    info = json.dumps({"info": {"features": names}})
    rows = [{"image": {"bytes": b"a", "path": None}, "label": number} for number in (1, -1)]
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": info})
    pq.write_table(table, tmp_path / "a.parquet")
    found = opened({"manifest": str(tmp_path / "a.parquet"), "format": "hf"})
    assert words(found[0])[-1] == "assistant: dog"
    with pytest.raises(DataError, match=r"a.parquet:2: label is -1, and has names for 0 to 1"):
        found[1]
