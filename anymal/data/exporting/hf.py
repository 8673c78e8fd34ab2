"""Records as Parquet shards that the `datasets` library loads, media inside, in TRL's shape.

`meta` becomes JSON, since its keys differ from row to row. Does not upload.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anymal.data.exporting.placeholders import MediaValues, medium_of
from anymal.data.media_folder import is_list
from anymal.errors import DataError
from anymal.media.limits import Limits
from anymal.media.source import read_source

_SPLIT = "train"
_GROUP_ROWS = 100  # a row group is read whole, for one of its rows
_SHARD_BYTES = 500 * 2**20
_LIMITS = Limits()

_TEXT, _NUMBER = {"dtype": "string", "_type": "Value"}, {"dtype": "float64", "_type": "Value"}
_MOTION = {
    "bytes": {"dtype": "binary", "_type": "Value"},
    "path": _TEXT,
    "samples": [[_NUMBER]],
    "rate_hz": _NUMBER,
    **dict.fromkeys(("format", "acceleration_unit", "rotation_unit"), _TEXT),
}
# As `datasets` writes features in JSON, in a form that all its versions read.
_FEATURES: dict[str, Any] = {
    "id": _TEXT,
    "messages": [
        {
            "role": _TEXT,
            "content": [{"type": _TEXT, "text": _TEXT}],
            "loss": {"dtype": "bool", "_type": "Value"},
        }
    ],
    **{f"{name}s": [{"_type": name.title()}] for name in ("image", "video", "audio")},
    "imus": [_MOTION],
    "meta": _TEXT,
}


def hf_row(record: Mapping[str, Any], base_dir: Path | None) -> dict[str, Any]:
    """Write a record as a row.

    Args:
        record: Ours.
        base_dir: Folder that paths in the record are relative to; None leaves media unread, for a
            row that only shows which columns there are.

    Raises:
        DataError: It has what the format has no place for.
        MediaError: A file cannot be read.
    """
    media: MediaValues = {}
    messages = [
        {**message, "content": _content(message["content"], media)}
        for message in record["messages"]
    ]
    lists = {
        f"{modality}s": [value if base_dir is None else _file(value, base_dir) for value in values]
        for modality, values in media.items()
    }
    row: dict[str, Any] = {"messages": messages, **lists}
    if "id" in record:
        row["id"] = record["id"]
    if "meta" in record:
        row["meta"] = json.dumps(record["meta"], ensure_ascii=False)
    return row


def write_hf(rows: Iterable[Mapping[str, Any]], columns: Collection[str], folder: Path) -> Path:
    """Write rows as shards.

    Args:
        rows: Of `hf_row`.
        columns: Those that any row has.
        folder: Where `data/` is made.

    Returns:
        The folder with the shards.

    Raises:
        DataError: The rows are no table.
    """
    schema = _schema({name: feature for name, feature in _FEATURES.items() if name in columns})
    left = iter(rows)
    shards = folder / "data"
    shards.mkdir()
    drafts: list[Path] = []
    while group := list(islice(left, _GROUP_ROWS)):
        drafts.append(shards / f"{len(drafts):05}.draft")
        with pq.ParquetWriter(drafts[-1], schema) as writer:
            while group:
                writer.write_table(_table(group, schema))
                is_full = drafts[-1].stat().st_size >= _SHARD_BYTES
                group = [] if is_full else list(islice(left, _GROUP_ROWS))
    for number, draft in enumerate(drafts):
        draft.rename(shards / f"{_SPLIT}-{number:05}-of-{len(drafts):05}.parquet")
    return shards


def _content(content: Any, media: MediaValues) -> list[dict[str, str]]:
    """The content of a message as TRL's parts; the media go into lists."""
    if not is_list(content):
        return [{"type": "text", "text": content}]
    parts = []
    for part in content:
        if part["type"] == "text":
            parts.append(part)
        else:
            modality, value = medium_of(part)
            media.setdefault(modality, []).append(value)
            parts.append({"type": modality})
    return parts


def _file(value: Any, base_dir: Path) -> dict[str, Any]:
    """A medium with its bytes."""
    if is_list(value):
        raise DataError("a video that is a list of frames has no place here; make it a file first")
    body = dict(value) if isinstance(value, Mapping) else {"url": value}
    url = body.pop("url", None)
    if url is None:
        return body
    data = read_source(url, limits=_LIMITS, base_dir=base_dir).data
    name = None if url.startswith("data:") else PurePosixPath(url).name
    return {"bytes": data, "path": name, **body}


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the rows are no table: {error}; give ids of one kind") from error


def _schema(features: Mapping[str, Any]) -> pa.Schema:
    """Columns, with the features that the library reads them by."""
    known = json.dumps({"info": {"features": features}})
    fields = [(name, _type(feature)) for name, feature in features.items()]
    return pa.schema(fields, metadata={"huggingface": known})


def _type(feature: Any) -> pa.DataType:
    """The type of a feature."""
    if isinstance(feature, list):
        return pa.list_(_type(feature[0]))
    kind = feature.get("_type")
    if kind == "Value":
        return pa.type_for_alias(feature["dtype"])
    if isinstance(kind, str):
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.struct([(name, _type(inner)) for name, inner in feature.items()])
