import json
from pathlib import Path

import pytest

from anymal.data.containers.json_object import JsonObject
from anymal.data.containers.key_index import KeyIndex
from anymal.errors import DataError
from tests.anymal.data.examples import write_json

VALUES = {'q"{': {"a": [1, "}"]}, "\u00e9": "text, with: marks", "n": None, "list": [[], {}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_entries_are_found_by_key_and_by_number(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"meta": {"data": 1}, "data": VALUES}, indent=indent))
    found = JsonObject(path, "data")
    assert len(found) == len(VALUES)
    assert {found.key(n): found.value(n) for n in range(len(found))} == VALUES
    assert [found.find(key) for key in VALUES] == [0, 1, 2, 3]
    assert found.find("other") is None
    assert found.where(2) == f"{path}:n"
    assert JsonObject(path).value(0) == {"data": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1', "cut short"),
        ('{"a": {"b": 1}', "cut short"),
        ('["a"]', "a.json"),
        ("[1]", "not valid JSON"),
        ('{"a": 1}\n{"b": 2}', "something follows the object at byte 8"),
        ("", "cannot be read"),
    ],
)
def test_what_is_no_whole_object_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=says):
        JsonObject(tmp_path / "a.json").value(0)


def test_a_missing_key_and_a_broken_value_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": nope, "b": 1}')
    found = JsonObject(path)
    assert found.value(1) == 1
    with pytest.raises(DataError, match=r"a.json:a: not valid JSON"):
        found.value(0)
    with pytest.raises(DataError, match="has no key 'data'"):
        JsonObject(write_json(path, {"a": 1}), "data")


def test_a_key_index_finds_every_place_of_a_key() -> None:
    keys = [f"key {n % 700}" for n in range(1000)]
    index = KeyIndex(keys)
    assert set(index.find("key 5")) == {5, 705}
    assert set(index.find("key 699")) == {699}
    assert not list(index.find("key 700"))
    assert not list(KeyIndex([]).find("a"))
