import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anymal.data.containers.csv import Csv
from anymal.data.containers.with_files import WithFiles
from anymal.errors import DataError
from tests.anymal.data.examples import write_table


def names(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['id']}.wav", f"{row['id']}.mp3"]


def open_table(folder: Path, files: list[str]) -> WithFiles:
    table = write_table(folder / "table.csv", ["id"], [["a"], ["b"], ["c"]])
    (folder / "sounds").mkdir()
    for name in files:
        (folder / "sounds" / name).touch()
    return WithFiles(Csv(table), names, folder / "sounds", key="sound")


def test_rows_without_a_file_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = open_table(tmp_path, ["c.mp3", "a.wav", "a.mp3"])
    assert [rows[n]["sound"] for n in range(len(rows))] == ["a.wav", "c.mp3"]
    assert rows.where(1).endswith("table.csv:3")
    assert "1 of 3 rows have no file" in caplog.text
    assert "table.csv:2, whose file may be called 'b.wav'" in caplog.text


def test_nothing_is_said_where_all_files_are_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(open_table(tmp_path, ["a.wav", "b.wav", "c.wav"])) == 3
    assert not caplog.text


def test_no_file_at_all_is_an_error_that_asks_for_media(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 of 3 rows .* give the folder of the files as media"):
        open_table(tmp_path, ["other.wav"])
    with pytest.raises(DataError, match="cannot be listed"):
        WithFiles(Csv(tmp_path / "table.csv"), names, tmp_path / "none", key="sound")
