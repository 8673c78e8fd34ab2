"""Records in the formats of LLaMA-Factory and ms-swift: words with tags, and lists of media.

`imus` and `<imu>` are ours. Does not write `objects` or preferences.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anymal.data.exporting.json_file import write_array, write_lines
from anymal.data.exporting.placeholders import MediaValues, with_placeholders
from anymal.modality import MODALITIES

DATA_SET = "data"
_INFO = "dataset_info.json"
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


_LISTS = [f"{modality}s" for modality in MODALITIES]


def tagged_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record as a row.

    Raises:
        DataError: It has what the formats have no place for.
    """
    media: MediaValues = {}
    messages = [
        {**message, "content": with_placeholders(message["content"], media)}
        for message in record["messages"]
    ]
    lists = {f"{modality}s": values for modality, values in media.items()}
    return {**record, "messages": messages, **lists}


def write_sharegpt(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write rows as LLaMA-Factory reads them; returns `dataset_info.json`, which has set `data`."""
    columns = {"messages": "messages"}

    def noted() -> Iterator[Mapping[str, Any]]:
        for row in rows:
            columns.update({name: name for name in _LISTS if name in row})
            yield row

    file = write_array(noted(), folder / f"{DATA_SET}.json")
    entry = {
        "file_name": file.name,
        "formatting": "sharegpt",
        "columns": columns,
        "tags": _TAGS,
    }
    info = folder / _INFO
    info.write_text(json.dumps({DATA_SET: entry}, indent=2) + "\n", encoding="utf-8")
    return info


def write_swift(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write rows as ms-swift reads them, to `data.jsonl`; returns the file."""
    return write_lines(rows, folder / f"{DATA_SET}.jsonl")
