"""LLaMA-Factory's formats, ShareGPT and Alpaca: columns and tags as `dataset_info.json` has them.

After LLaMA-Factory's data/README.md. Does not read preference data, or data sets of a hub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.data.containers.choose import open_raw
from anymal.data.formats.turns import (
    KEPT,
    Message,
    Tags,
    kept,
    media_of,
    question_and_answer,
    read_turns,
    with_system,
)
from anymal.data.options import Options
from anymal.data.placeholders import with_media
from anymal.data.rows import Mapped, Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError
from anymal.modality import MODALITIES

INFO = "dataset_info.json"
_MEDIA = tuple(f"{modality}s" for modality in MODALITIES)
_ELSEWHERE = ("hf_hub_url", "ms_hub_url", "script_url", "cloud_file_name")
_KEYS = ("file_name", "formatting", "columns", "tags")
_COLUMNS = {
    "sharegpt": ("messages", "system", *_MEDIA),
    "alpaca": ("prompt", "query", "response", "history", "system", *_MEDIA),
}
# Columns that a data set has without saying so.
_DEFAULTS = {
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
}
_DEFAULT_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}
_PREFERENCES = ("chosen", "rejected", "kto_tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class _DataSet:
    """One entry of `dataset_info.json`, or what a file without one has.

    Attributes:
        file: Its rows.
        is_alpaca: Whether questions and answers are columns, not messages.
        columns: From LLaMA-Factory's names to those of the file.
        tags: What turns call themselves; None takes what each of them has.
    """

    file: Path
    is_alpaca: bool
    columns: Mapping[str, str]
    tags: Tags | None


def open_sharegpt(path: Path, options: Options) -> Rows:
    """Open a data set of LLaMA-Factory's.

    Args:
        path: A file of rows with `messages` or `conversations`; or `dataset_info.json`, or its
            folder, of which `options.split` names a data set.
        options: As the recipe says; media are relative to the folder of what `path` names.

    Raises:
        DataError: There is no such data set, or it is of a kind that is not read.
    """
    own = _from_info(path, options) if path.is_dir() or path.name == INFO else _bare(path)
    unread = Unread(own.file)
    named = {**own.columns, **options.columns}
    return Mapped(
        raw=open_raw(own.file),
        make=lambda row: _record(row, own, unread),
        base_dir=options.media_of(path),
        licence=options.licence,
        columns={name: column for name, column in named.items() if name != column},
        known=frozenset([*named, *KEPT]),
        unread=unread,
    )


def _record(row: Mapping[str, Any], own: _DataSet, unread: Unread) -> Record:
    """Make a record of one row."""
    messages = with_system(_messages(row, own, unread), row.get("system"))
    media = media_of({name: row.get(name) for name in _MEDIA})
    return {"messages": with_media(messages, media)} | kept(row)


def _messages(row: Mapping[str, Any], own: _DataSet, unread: Unread) -> list[Message]:
    """The turns of a row."""
    if own.is_alpaca:
        pieces = (row.get("prompt"), row.get("query"))
        return question_and_answer(pieces, row.get("response"), history=row.get("history"))
    turns = row.get("messages", row.get("conversations"))
    return read_turns(turns, column="messages", tags=own.tags, unread=unread)


def _bare(path: Path) -> _DataSet:
    """A file that no `dataset_info.json` describes."""
    names = (*_COLUMNS["sharegpt"], "conversations")
    return _DataSet(file=path, is_alpaca=False, columns={name: name for name in names}, tags=None)


def _from_info(path: Path, options: Options) -> _DataSet:
    """The entry of `dataset_info.json` that the recipe's `split` names."""
    info = path / INFO if path.is_dir() else path
    try:
        entries = json.loads(info.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{info} cannot be read: {error}") from error
    if not isinstance(entries, dict) or options.split not in entries:
        known = ", ".join(entries) if isinstance(entries, dict) else "none"
        raise DataError(f"{info} has no data set {options.split!r}; set split to one of: {known}")
    return _data_set(info, str(options.split), entries[options.split])


def _data_set(info: Path, name: str, entry: Any) -> _DataSet:
    """Understand one entry."""
    where = f"{info}: {name}"
    if not isinstance(entry, dict):
        raise DataError(f"{where} is {entry!r:.80}; it should be an object with a file_name")
    for key in ("columns", "tags"):
        if not isinstance(entry.get(key) or {}, dict):
            raise DataError(f"{where} has the {key} {entry[key]!r:.80}; it should be an object")
    columns = entry.get("columns") or {}
    if found := [key for key in _ELSEWHERE if entry.get(key)]:
        raise DataError(f"{where} is not here ({found[0]}); download it, and give its file_name")
    if entry.get("ranking") or any(columns.get(key) for key in _PREFERENCES):
        raise DataError(f"{where} holds preferences, which are not read; use data with answers")
    formatting = entry.get("formatting", "alpaca")
    file = entry.get("file_name")
    if formatting not in list(_COLUMNS) or not (file and isinstance(file, str)):
        raise DataError(
            f"{where} has the formatting {formatting!r} and the file_name "
            f"{file!r}; it should be sharegpt or alpaca, and a file"
        )
    unread = Unread(info)
    unread.tell(entry, _KEYS, inside=f"{name}.")
    unread.tell(columns, _COLUMNS[formatting], inside=f"{name}.columns.")
    tags = {**_DEFAULT_TAGS, **(entry.get("tags") or {})}
    return _DataSet(
        file=info.parent / file,
        is_alpaca=formatting == "alpaca",
        # As there: an entry with columns has those alone.
        columns={
            key: column
            for key, column in (columns or _DEFAULTS[formatting]).items()
            if key in _COLUMNS[formatting]
        },
        tags=Tags(
            role=tags["role_tag"],
            content=tags["content_tag"],
            roles={
                tags["user_tag"]: "user",
                tags["assistant_tag"]: "assistant",
                tags["system_tag"]: "system",
            },
        ),
    )
