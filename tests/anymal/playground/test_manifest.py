import json
from pathlib import Path

import pytest

from anymal.errors import DataError
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import sources
from anymal.playground.cli import data
from anymal.playground.manifest import write_manifest
from anymal.protocol import TextPart, read_conversation


@pytest.mark.parametrize("name", ["scenes", "clips", "sounds", "motions", "mixed"])
def test_manifest_points_to_files_that_decode(name: str, tmp_path: Path) -> None:
    records = getattr(sources, name)(split="train", size=2)
    manifest = write_manifest(records, tmp_path)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["id"] for line in lines] == [record["id"] for record in records]
    assert [line["meta"] for line in lines] == [record["meta"] for record in records]
    for line in lines:
        for part in read_conversation(line).messages[0].parts:
            if isinstance(part, TextPart):
                continue
            (row,) = (row for row in MODALITIES.values() if part.type in row.part_types)
            medium = read_medium(part, limits=Limits(), base_dir=tmp_path)
            assert row.decode(medium, Limits(), **dict.fromkeys(row.hints, 4)) is not None
    assert "base64" not in manifest.read_text()


def test_command_refuses_an_unknown_topic(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown topic 'cats'; known: scenes, clips"):
        data("cats", tmp_path, 1, "train", 0)


def test_command_writes_as_many_records_as_asked(tmp_path: Path) -> None:
    data("motions", tmp_path, 3, "heldout", 1)
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 3
    assert len(list(tmp_path.glob("*.csv"))) == 3
