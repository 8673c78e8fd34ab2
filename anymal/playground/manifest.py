"""Write records as a folder of ordinary files with a JSONL manifest beside them.

The manifest has the shape that training and evaluation read; paths in it are relative to it.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from anymal.playground.sources import Record

MANIFEST = "manifest.jsonl"


def write_manifest(records: Iterable[Record], folder: Path) -> Path:
    """Write every medium of the records as a file, and the manifest last.

    Args:
        records: Conversations whose media are inline.
        folder: Made if it is not there.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(_with_files(record, folder)) for record in records]
    manifest = folder / MANIFEST
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def _with_files(record: Record, folder: Path) -> Record:
    """The record with its media moved to files."""
    stems = (folder / f"{record['id']}-{i}".replace(" ", "_") for i in count())
    messages = [
        message | {"content": _parts_with_files(message["content"], stems)}
        for message in record["messages"]
    ]
    return record | {"messages": messages}


def _parts_with_files(content: Any, stems: Iterator[Path]) -> Any:
    """The parts of one message; plain text stays as it is."""
    if isinstance(content, str):
        return content
    return [
        part if part["type"] == "text" else _part_with_file(part, next(stems)) for part in content
    ]


def _part_with_file(part: dict[str, Any], stem: Path) -> dict[str, Any]:
    """One medium, its bytes in a file."""
    medium = part[part["type"]]
    file = write_medium(medium, stem)
    if part["type"] == "input_audio":
        return {"type": "audio_url", "audio_url": {"url": file.name}}
    kept = {key: value for key, value in medium.items() if key not in ("data", "url")}
    return {"type": part["type"], part["type"]: {"url": file.name} | kept}


def write_medium(medium: Mapping[str, Any], stem: Path) -> Path:
    """Write what a message part carries inline to a file.

    Args:
        medium: The part's own fields: `data` with `format`, or `url` with a data URL.
        stem: The file without its extension, which says what it is.

    Returns:
        The file.
    """
    if "data" in medium:
        encoded, extension = medium["data"], medium["format"]
    else:
        head, _, encoded = medium["url"].partition(",")
        extension = head.partition(";")[0].partition("/")[2]
    file = stem.with_name(f"{stem.name}.{extension}")
    file.write_bytes(base64.b64decode(encoded))
    return file
