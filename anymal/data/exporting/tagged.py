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


def export_sharegpt(records: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write records as LLaMA-Factory reads them, with `dataset_info.json`.

    Args:
        records: Ours.
        folder: Where the files are written.

    Returns:
        `dataset_info.json`, whose only data set is `data`.

    Raises:
        DataError: A record has what the format has no place for.
    """
    columns = {"messages": "messages"}

    def noted() -> Iterator[dict[str, Any]]:
        for row in _rows(records):
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


def export_swift(records: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write records as ms-swift reads them.

    Args:
        records: Ours.
        folder: Where `data.jsonl` is written.

    Returns:
        The file.

    Raises:
        DataError: A record has what the format has no place for.
    """
    return write_lines(_rows(records), folder / f"{DATA_SET}.jsonl")


_LISTS = [f"{modality}s" for modality in MODALITIES]


def _rows(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Records as rows."""
    for record in records:
        media: MediaValues = {}
        messages = [
            {**message, "content": with_placeholders(message["content"], media)}
            for message in record["messages"]
        ]
        lists = {f"{modality}s": values for modality, values in media.items()}
        yield {**record, "messages": messages, **lists}
