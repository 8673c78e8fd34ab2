"""Records in LLaVA's format: one JSON array of `conversations`, an image beside each.

Other media have columns of their own, `video`, `audio` and `imu`, as our reader takes them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anymal.data.exporting.json_file import write_array
from anymal.data.exporting.placeholders import MediaValues, with_placeholders

_ROLES = {"user": "human", "assistant": "gpt"}


def llava_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record as a row.

    Raises:
        DataError: It has what LLaVA's format has no place for.
    """
    media: MediaValues = {}
    turns = [_turn(message, media) for message in record["messages"]]
    # One medium stands alone; frames are a list themselves.
    columns = {
        modality: values[0] if len(values) == 1 and isinstance(values[0], str) else values
        for modality, values in media.items()
    }
    rest = {key: value for key, value in record.items() if key != "messages"}
    return {**rest, **columns, "conversations": turns}


def write_llava(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write rows to `data.json`; returns the file."""
    return write_array(rows, folder / "data.json")


def _turn(message: Mapping[str, Any], media: MediaValues) -> dict[str, Any]:
    """A message as a turn."""
    role = _ROLES.get(message["role"], message["role"])
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    return {"from": role, "value": with_placeholders(message["content"], media), **rest}
