from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anymal.data.containers.arrow import open_arrow
from anymal.data.containers.choose import open_raw
from anymal.data.containers.groups import Group, GroupedRows
from anymal.data.containers.parquet import open_parquet
from anymal.errors import DataError

NUMBERS = list(range(25))
FIRST, SECOND = NUMBERS[:13], NUMBERS[13:]


def row(n: int) -> dict[str, Any]:
    return {"n": n, "picture": {"bytes": bytes([n]), "path": None}}


def table(numbers: list[int]) -> pa.Table:
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("n", pa.int64()), ("picture", picture)])
    return pa.Table.from_pylist([row(n) for n in numbers], schema=schema)


def parquet(path: Path, numbers: list[int]) -> None:
    pq.write_table(table(numbers), path, row_group_size=5)


def stream(path: Path, numbers: list[int]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table([]).schema) as writer:
        writer.write_table(table(numbers), max_chunksize=5)


def file(path: Path, numbers: list[int]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table([]).schema) as writer:
        writer.write_table(table(numbers), max_chunksize=5)


CASES = [
    pytest.param(parquet, open_parquet, id="parquet"),
    pytest.param(stream, open_arrow, id="arrow stream"),
    pytest.param(file, open_arrow, id="arrow file"),
]


@pytest.mark.parametrize(("save", "open_rows"), CASES)
def test_rows_of_several_files_are_read_in_any_order(
    tmp_path: Path, save: Any, open_rows: Any
) -> None:
    save(tmp_path / "a", FIRST)
    save(tmp_path / "b", SECOND)
    rows = open_rows(tmp_path / "a", tmp_path / "b")
    assert len(rows) == 25
    assert [rows[n] for n in (24, 0, 12, 13, 4, 5)] == [row(n) for n in (24, 0, 12, 13, 4, 5)]
    assert [rows[n]["n"] for n in NUMBERS] == NUMBERS == list(rows.column("n"))
    assert [rows.where(n) for n in (0, 12, 13)] == [
        f"{tmp_path}/a:1",
        f"{tmp_path}/a:13",
        f"{tmp_path}/b:1",
    ]
    with pytest.raises(IndexError):
        rows[25]


@pytest.mark.parametrize(("save", "open_rows"), CASES)
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, save: Any, open_rows: Any) -> None:
    save(tmp_path / "a", NUMBERS)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=f"{tmp_path}/a cannot be read as"):
        open_rows(tmp_path / "a")


@pytest.mark.parametrize(
    ("save", "ending"), [(parquet, ".bin"), (file, ".bin"), (stream, ".arrow")]
)
def test_files_are_known_by_their_first_bytes_or_their_ending(
    tmp_path: Path, save: Any, ending: str
) -> None:
    path = tmp_path / f"a{ending}"
    save(path, NUMBERS)
    assert open_raw(path)[24] == row(24)


def test_two_groups_are_held_and_no_more() -> None:
    reads: list[int] = []

    def group(number: int) -> Group:
        def read(columns: list[str] | None) -> pa.Table:
            reads.append(number)
            return table([number * 2, number * 2 + 1])

        return Group(file="f", first=number * 2, size=2, read=read)

    rows = GroupedRows([group(number) for number in range(5)], table([]).schema)
    assert [rows[n]["n"] for n in (0, 2, 1, 3, 0)] == [0, 2, 1, 3, 0]
    assert reads == [0, 1]
    assert [rows[n]["n"] for n in (8, 1, 2)] == [8, 1, 2]
    assert reads == [0, 1, 4, 1] or reads == [0, 1, 4, 0, 1]


def test_a_damaged_group_is_an_error_of_its_rows(tmp_path: Path) -> None:
    parquet(tmp_path / "a", NUMBERS)
    data = bytearray((tmp_path / "a").read_bytes())
    data[4:60] = bytes(56)  # the first group's first pages; the footer stays
    (tmp_path / "a").write_bytes(data)
    rows = open_parquet(tmp_path / "a")
    with pytest.raises(DataError, match="a:1: the 5 rows from here cannot be read"):
        rows[3]
    assert rows[20] == row(20)
