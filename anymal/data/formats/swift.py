"""ms-swift's format: `messages`, or a question and an answer, with lists of media and of boxes.

After ms-swift's docs, Customization/Custom-dataset. Does not read files and scales no boxes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.data.formats.turns import (
    Message,
    kept,
    media_of,
    open_turns,
    question_and_answer,
    read_turns,
    with_system,
)
from anymal.data.media_folder import is_list
from anymal.data.options import Options
from anymal.data.placeholders import with_media
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError

# What its preprocessors take, in the order in which they are looked for.
_LISTS = ("messages", "conversations", "conversation")
_PAIRS = (("query", "response"), ("instruction", "output"))
_COLUMNS = (
    *_LISTS,
    *(name for pair in _PAIRS for name in pair),
    *("input", "history", "system", "objects"),
)
_REF, _BOX = "<ref-object>", "<bbox>"
_OBJECT = re.compile(f"{_REF}|{_BOX}")


def open_swift(path: Path, options: Options) -> Rows:
    """Open a file of ms-swift's rows.

    Args:
        path: JSONL, a JSON array, or a table.
        options: As the recipe says.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, swift_record, _COLUMNS)


def swift_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row.

    Args:
        row: In one of ms-swift's shapes.
        unread: Warns of keys of messages that are left out.

    Raises:
        DataError: It is of another shape, or its tags do not match its media or objects.
    """
    messages = with_system(_messages(row, unread), row.get("system"))
    if row.get("objects") is not None:
        messages = _with_objects(messages, row["objects"])
    return {"messages": with_media(messages, media_of(row), none_is_first=True)} | kept(row)


def _messages(row: Mapping[str, Any], unread: Unread | None) -> list[Message]:
    """The turns of a row."""
    for column in _LISTS:
        if (turns := row.get(column)) is not None:
            if is_list(turns) and turns and isinstance(turns[0], Mapping) and "human" in turns[0]:
                return _rounds(turns)
            return read_turns(turns, column=column, unread=unread)
    for question, answer in _PAIRS:
        if question in row:
            pieces = (row[question], row.get("input"))
            return question_and_answer(pieces, row.get(answer), history=row.get("history"))
    raise DataError(
        f"the row has {', '.join(row)}: neither messages, nor query and response, nor instruction "
        "and output; say in columns which column is which"
    )


def _rounds(rounds: Sequence[Any]) -> list[Message]:
    """Turns that are written as pairs of `human` and `assistant`."""
    if odd := [one for one in rounds if not isinstance(one, Mapping)]:
        raise DataError(f"a round is {odd[0]!r:.80}; it should have human and assistant")
    return [
        message
        for one in rounds
        for message in question_and_answer([one.get("human")], one.get("assistant"))
    ]


def _with_objects(messages: list[Message], objects: Any) -> list[Message]:
    """Write names and boxes where their tags stand; boxes keep the unit that the file has."""
    if not isinstance(objects, Mapping):
        raise DataError(f"objects is {type(objects).__name__}; it should have ref and bbox")
    names, boxes = (objects.get(key) or [] for key in ("ref", "bbox"))
    if not is_list(names) or not is_list(boxes):
        raise DataError(f"objects is {objects!r:.80}; its ref and bbox should be lists")
    values = {_REF: [str(name) for name in names], _BOX: [json.dumps(box) for box in boxes]}
    text = "".join(one["content"] for one in messages if isinstance(one["content"], str))
    for tag, given in values.items():
        if text.count(tag) != len(given):
            raise DataError(
                f"{text.count(tag)} tags {tag} for {len(given)} objects of that kind; write one "
                "tag where each stands"
            )
    waiting = {tag: iter(given) for tag, given in values.items()}
    return [{**one, "content": _filled(one["content"], waiting)} for one in messages]


def _filled(content: Any, waiting: Mapping[str, Iterator[str]]) -> Any:
    """The words of a message with its tags replaced."""
    if not isinstance(content, str):
        return content
    return _OBJECT.sub(lambda match: next(waiting[match.group()]), content)
