"""Data sets of the `datasets` library: saved folders, Parquet shards, names on the Hub.

The features that the library keeps in the schema say which columns hold media; without them, the
names of the columns do. Does not need the library, and decodes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from anymal.data.containers.raw import parse_object
from anymal.data.containers.saved import open_saved
from anymal.data.formats.plain import MEDIA, known_names, listed, plain_record
from anymal.data.options import Options
from anymal.data.rows import Mapped, Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError
from anymal.modality import MODALITIES
from anymal.recipe.prompts import PromptStyle

_KEY = b"huggingface"
_FEATURES = {"Image": "image", "Audio": "audio", "Video": "video"}


def open_hf(path: Path, options: Options) -> Rows:
    """Open one split of a data set.

    Args:
        path: See `open_saved`.
        options: `columns` names the columns of messages, of questions and answers, or of captions,
            where they are not called as usual.

    Raises:
        DataError: It cannot be opened.
    """
    raw = open_saved(path, options.split)
    features = _features(raw.schema)
    named = {own: name for name, own in options.columns.items()}
    columns = {own: named.get(own, own) for own in raw.schema.names}
    media = {
        name: modality
        for own, name in columns.items()
        if (modality := _modality(name, features.get(own)))
    }
    labels = {
        columns[own]: feature["names"] for own, feature in features.items() if _is_label(feature)
    }
    return Mapped.of(
        path,
        raw,
        options,
        make=partial(
            _record, media=media, labels=labels, style=options.prompt, unread=Unread(path)
        ),
        known=known_names(options) | media.keys(),
    )


def _record(
    row: Mapping[str, Any],
    *,
    media: Mapping[str, str],
    labels: Mapping[str, list[str]],
    style: PromptStyle | None,
    unread: Unread,
) -> Record:
    """A row as a conversation."""
    words = {name: value for name, value in row.items() if name not in media}
    words |= {
        name: _label(name, row[name], names)
        for name, names in labels.items()
        if row.get(name) is not None
    }
    if isinstance(row.get("meta"), str):  # as `anymal data export` writes it
        words["meta"] = parse_object(row["meta"].encode(), where="meta")
    found: dict[str, list[Any]] = {}
    for name, modality in media.items():
        found.setdefault(MEDIA[modality], []).extend(listed(row.get(name)))
    return plain_record(words | found, style, unread)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What the library says of each column; nothing where it did not write the file."""
    metadata = (schema.metadata or {}).get(_KEY)
    known = json.loads(metadata) if metadata else {}
    found: dict[str, Any] = known.get("info", {}).get("features", {})
    return found


def _modality(name: str, feature: Any) -> str | None:
    """The modality of a column: of its feature, or else of its name, in the singular or plural."""
    if isinstance(feature, list):  # how versions before 4 write a list
        return _modality(name, feature[0])
    if isinstance(feature, Mapping):
        if "feature" in feature:
            return _modality(name, feature["feature"])
        if found := _FEATURES.get(feature.get("_type", "")):
            return found
    singular = name.removesuffix("s")
    return singular if singular in MODALITIES else None


def _label(column: str, number: int, names: Sequence[str]) -> str:
    """The name of a label; test sets write -1 for none."""
    if not 0 <= number < len(names):
        raise DataError(
            f"{column} is {number}, and has names for 0 to {len(names) - 1}; take a split with "
            "labels, or leave the row out"
        )
    return names[number]


def _is_label(feature: Any) -> bool:
    """Whether a column holds numbers of names."""
    return isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
