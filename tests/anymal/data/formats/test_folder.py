"""Folders of files: words in a table, or labels."""

from pathlib import Path

import pytest

from anymal.errors import DataError
from tests.anymal.data import examples
from tests.anymal.data.examples import write_json
from tests.anymal.data.reading import all_of, media, opened, words


def test_a_folder_has_its_words_in_a_table(tmp_path: Path) -> None:
    rows = opened(examples.folder_with_table(tmp_path))
    assert words(rows[0])[2] == "assistant: A red, plain square"
    assert media(rows[0]) == ["0.png"]


def test_a_folder_may_name_several_files_in_a_row(tmp_path: Path) -> None:
    files = {"image_file_name": "1.png", "audio_file_names": ["a.wav", "b.wav"]}
    write_json(tmp_path / "metadata.jsonl", files | {"question": "?", "answer": "x"})
    record = opened({"manifest": str(tmp_path), "format": "folder"})[0]
    assert media(record) == ["1.png", "a.wav", "b.wav"]


def test_a_folder_without_a_table_has_labels(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    examples.folder_with_labels(tmp_path / "train")
    rows = opened({"manifest": str(tmp_path), "format": "folder", "split": "train"})
    assert [(media(one), words(one)[2]) for one in all_of(rows)] == [
        (["green/1.wav"], "assistant: green"),
        (["red/1.wav"], "assistant: red"),
    ]
    assert rows.base_dir == tmp_path / "train"
    with pytest.raises(DataError, match=r"neither metadata.csv.* name one as split"):
        opened({"manifest": str(tmp_path), "format": "folder"})


def test_columns_that_are_not_read_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"file_name": "1.png", "question": "?", "answer": "x", "source": "web"}
    write_json(tmp_path / "metadata.jsonl", row)
    rows = opened({"manifest": str(tmp_path), "format": "folder"})
    assert rows[0] == rows[0]
    assert [record.message for record in caplog.records] == [f"{tmp_path}: not read: source"]


def test_files_that_are_no_media_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    examples.folder_with_labels(tmp_path)
    (tmp_path / "red" / "2.jfif2").write_bytes(b"?")
    assert len(opened({"manifest": str(tmp_path), "format": "folder"})) == 2
    assert "1 files are left out" in caplog.text
    assert "2.jfif2" in caplog.text
