"""Records in LLaVA's format: one JSON array of `conversations`, an image beside each.

Other media have columns of their own, `video`, `audio` and `imu`, as our reader takes them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anymal.data.exporting.json_file import write_array
from anymal.data.exporting.placeholders import MediaValues, with_placeholders

_ROLES = {"user": "human", "assistant": "gpt"}
FILE = "data.json"


def export_llava(records: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write records.

    Args:
        records: Ours.
        folder: Where `data.json` is written.

    Returns:
        The file.

    Raises:
        DataError: A record has what LLaVA's format has no place for.
    """
    return write_array((_row(record) for record in records), folder / FILE)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a row."""
    media: MediaValues = {}
    turns = [_turn(message, media) for message in record["messages"]]
    # One medium stands alone; frames are a list themselves.
    columns = {
        modality: values[0] if len(values) == 1 and isinstance(values[0], str) else values
        for modality, values in media.items()
    }
    rest = {key: value for key, value in record.items() if key != "messages"}
    return {**rest, **columns, "conversations": turns}


def _turn(message: Mapping[str, Any], media: MediaValues) -> dict[str, Any]:
    """A message as a turn."""
    role = _ROLES.get(message["role"], message["role"])
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    return {"from": role, "value": with_placeholders(message["content"], media), **rest}
