"""Archives: samples to records."""

from pathlib import Path

import pytest

from anymal.errors import DataError
from anymal.recipe.prompts import PROMPTS
from tests.anymal.data import examples
from tests.anymal.data.examples import png, wav, write_tar
from tests.anymal.data.reading import media, opened, words

IMAGE = PROMPTS["describe_image"]


def test_webdataset_joins_shards(tmp_path: Path) -> None:
    rows = opened(examples.webdataset(tmp_path))
    assert len(rows) == 4
    assert words(rows[3]) == [
        f"system: {IMAGE.system}[]",
        f"user: {IMAGE.user}",
        "assistant: Picture 3",
    ]
    assert (media(rows[3]), rows[3]["id"]) == ([png(3)], "00003")


def test_webdataset_takes_the_row_of_json(tmp_path: Path) -> None:
    members = {
        "a.0.wav": wav(0),
        "a.1.wav": wav(1),
        "a.json": b'{"question": "<audio> or <audio>?", "reply": "The first."}',
        "b.json": b"[1]",
    }
    entry = {"manifest": str(write_tar(tmp_path / "a.tar", members)), "format": "webdataset"}
    rows = opened(entry, columns={"answer": "reply"})
    assert words(rows[0]) == ["user: [] or []?", "assistant: The first."]
    assert media(rows[0]) == [wav(0), wav(1)]
    with pytest.raises(DataError, match=r"a.tar:b: a record is an object, not list"):
        rows[1]


def test_webdataset_gives_half_characters_to_whoever_refuses_them(tmp_path: Path) -> None:
    members = {"a.png": png(0), "a.txt": b"caf\xe9"}
    entry = {"manifest": str(write_tar(tmp_path / "a.tar", members)), "format": "webdataset"}
    assert words(opened(entry)[0])[2] == "assistant: caf\udce9"
