"""Rows of JSON files: found without parsing, read one at a time, in constant memory."""

import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from anymal.data.containers import json_array
from anymal.data.containers.choose import open_raw
from anymal.data.containers.json_array import JsonArray, spans
from anymal.data.containers.jsonl import Jsonl
from anymal.errors import DataError

ODD_ROWS: list[dict[str, Any]] = [
    {"a": 'a ] and a } and a \\" in \\', "b": [1, [2, {"c": []}], "],["]},
    {"\u00fc[": "\U0001f600 {", "empty": {}},
    {},
    {"long": "x, [" * 400, "escaped": "\\\\"},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 2**20])
def test_an_array_is_read_as_json_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int, ascii_only: bool, piece: int
) -> None:
    monkeypatch.setattr(json_array, "_READ_BYTES", piece)  # items cross the ends of pieces
    path = tmp_path / "a.json"
    text = json.dumps(ODD_ROWS, indent=indent, ensure_ascii=ascii_only)
    path.write_text(f" \n{text}\n", encoding="utf-8")
    rows = JsonArray(path)
    assert [rows[i] for i in range(len(rows))] == ODD_ROWS
    assert rows.where(3) == f"{path}:4"


def test_lines_and_arrays_are_told_apart_by_what_they_begin_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("\ufeff" + "\n".join(map(json.dumps, ODD_ROWS)), encoding="utf-8")
    assert isinstance(open_raw(path), Jsonl)
    path.write_text("\ufeff" + json.dumps(ODD_ROWS), encoding="utf-8")
    array = open_raw(path)
    assert isinstance(array, JsonArray)
    assert array[1] == ODD_ROWS[1]


def test_a_broken_item_is_an_error_of_that_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, {"b": 2,}, 5, "x, [", {"c": 3}, ]')
    rows = JsonArray(path)
    assert len(rows) == 6  # the last is what follows the last comma
    assert (rows[0], rows[4]) == ({"a": 1}, {"c": 3})
    for row, says in [(1, ":2: not valid JSON"), (2, ":3: a record is an object, not int")]:
        with pytest.raises(DataError, match=says):
            rows[row]
    for row in (3, 5):
        with pytest.raises(DataError, match=f":{row + 1}: "):
            rows[row]


@pytest.mark.parametrize(("text", "row"), [('[{"a": 1},\n]', 1), ('[, {"a": 1}]', 0)])
def test_a_comma_without_an_item_is_named(tmp_path: Path, text: str, row: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    rows = open_raw(path)
    assert rows[1 - row] == {"a": 1}
    with pytest.raises(DataError, match=rf"a\.json:{row + 1}: .*remove the comma"):
        rows[row]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"a": 1}, {"b": "x}]', r"a\.json:2: .* begins at byte 10 and has no end"),
        ('[{"a": 1}, {"b": 2}', r"a\.json:2: .* has no end"),
        ('[{"a": [1}, {"b": 2}]', r"a\.json:1: .* has no end"),
        ("[", r"a\.json:1: .* has no end"),
        ("[{}]\n[{}]", "something follows the array at byte 4"),
        ("[]", "has no rows"),
        ("[ \n ]", "has no rows"),
        (" \n", "has no rows"),
    ],
)
def test_a_file_that_has_no_whole_array_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        open_raw(path)


def test_the_items_of_an_object_are_found_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"meta": {"n": [1, 2]}, "data": {"x": "a, b", "y": {"z": 1}}}')
    data = path.read_bytes()
    found = [data[start:end].strip() for start, end in spans(path)]
    assert found == [b'"meta": {"n": [1, 2]}', b'"data": {"x": "a, b", "y": {"z": 1}}']
    inner = [data[start:end].strip() for start, end in spans(path, data.index(b'{"x"'))]
    assert inner == [b'"x": "a, b"', b'"y": {"z": 1}']


def llava_row(number: int) -> dict[str, Any]:
    """A row as long as those of LLaVA's instruction data."""
    answer = ("gpt", f"It is {number}. " * 20)
    turns = [("human", f"<image>\nWhat is {number}?"), answer, ("human", "Really?"), answer]
    return {
        "id": f"{number:012d}",
        "image": f"coco/train2017/{number:012d}.jpg",
        "conversations": [{"from": who, "value": words} for who, words in turns],
    }


def write_llava(path: Path, size: int) -> None:
    rows = (json.dumps(llava_row(number)) for number in range(size))
    if path.suffix == ".jsonl":
        path.write_text("\n".join(rows))
    else:
        path.write_text(f"[{', '.join(rows)}]")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_what_is_kept_of_a_row_does_not_grow_with_it(tmp_path: Path, name: str) -> None:
    size = 5_000
    write_llava(tmp_path / name, size)
    open_raw(tmp_path / name)  # imports
    tracemalloc.start()
    rows = open_raw(tmp_path / name)
    drawn = random.Random(0).sample(range(size), 500)
    assert all(rows[index] == llava_row(index) for index in drawn)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 40 * size  # bytes; a row has 1,500


_DRAW = """
import random, sys
from pathlib import Path
from anymal.data.registry import open_rows
from anymal.recipe.data_entry import DataRecipe
rows = open_rows(DataRecipe(manifest=sys.argv[1], format="llava"))
order = random.Random(0).sample(range(len(rows)), len(rows))
assert all(rows[index]["id"] == f"{index:012d}" for index in order)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(len(rows), status["VmHWM"].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_200_000_rows_are_drawn_at_random_in_less_than_300_mb(tmp_path: Path, name: str) -> None:
    write_llava(tmp_path / name, 200_000)
    command = [sys.executable, "-c", _DRAW, str(tmp_path / name)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    number, most = map(int, done.stdout.split())
    assert number == 200_000
    assert most * 1024 < 300e6
