"""Rows of tables, as Python's csv module reads them from the beginning."""

import csv
from pathlib import Path

import pytest

from anymal.data.containers.choose import open_raw
from anymal.data.containers.csv import Csv
from anymal.errors import DataError

TABLE = (
    '\ufefffile,caption\r\na.wav,"A dog, ""Rex"",\r\nbarks."\r\n\r\nb \u00fc.wav,Rain\r\nc.wav,\r\n'
)


def test_rows_are_what_the_csv_module_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode())
    with path.open(encoding="utf-8-sig", newline="") as file:
        expected = list(csv.DictReader(file))
    rows = open_raw(path)
    assert [rows[index] for index in (2, 0, 1)] == [expected[index] for index in (2, 0, 1)]
    assert len(rows) == 3
    assert rows.where(2) == f"{path}:3"


def test_a_row_with_too_few_values_names_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("file\tcaption\na.wav\tone\nb.wav\n")
    rows = open_raw(path)
    assert rows[0] == {"file": "a.wav", "caption": "one"}
    with pytest.raises(DataError, match=r"a\.tsv:2: 1 values for 2 columns \(file, caption\)"):
        rows[1]


def test_comments_and_spaces_after_commas_can_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text('# made\n# id, labels\n--aE, 30.0, "/m/1,/m/2"\n# end\n--b, 1.0, "/m/3"\n')
    names = ["id", "start", "labels"]
    rows = Csv(path, columns=names, comment="#", skips_space=True)
    assert [rows[0], rows[1]] == [
        {"id": "--aE", "start": "30.0", "labels": "/m/1,/m/2"},
        {"id": "--b", "start": "1.0", "labels": "/m/3"},
    ]


@pytest.mark.parametrize("text", ["file,file\na,b\n", "\n\n"])
def test_columns_have_names_of_their_own(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"name each column once|has no rows"):
        open_raw(path)


def test_a_file_of_no_known_kind_names_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x00\x01")
    with pytest.raises(DataError, match=r"of no kind that is read; .*\.jsonl"):
        open_raw(path)
    with pytest.raises(DataError, match="does not exist"):
        open_raw(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder"):
        open_raw(tmp_path)


@pytest.mark.parametrize("last", ["c.wav,three\n", 'c.wav,"three"\n'])
def test_a_quote_that_is_left_open_joins_no_rows(tmp_path: Path, last: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'file,caption\na.wav,one\nb.wav,"two\n{last}')
    with pytest.raises(DataError, match=r"a\.csv: the row at byte 23: .* close the quote"):
        open_raw(path)
