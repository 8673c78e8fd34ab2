import json
from pathlib import Path

import pytest

from anymal.cli.data import data
from anymal.errors import DataError
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import sources
from anymal.playground.manifest import write_manifest
from anymal.playground.sources import Record
from anymal.protocol.conversation import MediaPart, read_conversation


def media(record: Record) -> list[MediaPart]:
    """The media of all messages."""
    parts = [part for message in read_conversation(record).messages for part in message.parts]
    return [part for part in parts if isinstance(part, MediaPart)]


@pytest.mark.parametrize("name", ["scenes", "clips", "sounds", "motions", "mixed", "later_turns"])
def test_manifest_points_to_files_that_decode(name: str, tmp_path: Path) -> None:
    records = getattr(sources, name)(split="train", size=4)
    manifest = write_manifest(records, tmp_path)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["id"] for line in lines] == [record["id"] for record in records]
    assert [line["meta"] for line in lines] == [record["meta"] for record in records]
    for line, record in zip(lines, records, strict=True):
        for part, inline in zip(media(line), media(record), strict=True):
            (row,) = (row for row in MODALITIES.values() if part.type in row.part_types)
            medium = read_medium(part, limits=Limits(), base_dir=tmp_path)
            assert row.decode(medium, Limits(), **dict.fromkeys(row.hints, 4)) is not None
            assert medium.source is not None
            sent = read_medium(inline, limits=Limits(), base_dir=None).source
            assert sent is not None
            assert medium.source.data == sent.data
    assert "base64" not in manifest.read_text()


def test_command_refuses_an_unknown_topic(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown topic 'cats'; known: scenes, clips"):
        data("cats", tmp_path, 1, "train", 0)


def test_command_writes_as_many_records_as_asked(tmp_path: Path) -> None:
    data("motions", tmp_path, 3, "heldout", 1)
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 3
    assert len(list(tmp_path.glob("*.csv"))) == 3
