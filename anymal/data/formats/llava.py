"""LLaVA's format: `conversations` of `{from, value}`, and an image beside them.

After LLaVA's docs/Finetune_Custom_Data.md. Other media have columns of their own; does not read
files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.formats.turns import (
    SHAREGPT,
    Message,
    kept,
    media_of,
    open_turns,
    read_turns,
)
from anymal.data.options import Options
from anymal.data.placeholders import Media, Place, pieces_of, with_media
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread

_COLUMN = "conversations"


def open_llava(path: Path, options: Options) -> Rows:
    """Open a JSON array or a JSONL file of LLaVA's rows.

    Args:
        path: The file.
        options: As the recipe says; `media` is LLaVA's image folder.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, llava_record, (_COLUMN,))


def llava_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row.

    Args:
        row: With `conversations`, and perhaps `image` and its like.
        unread: Warns of keys of turns that are left out.

    Raises:
        DataError: It is of another shape, or its placeholders do not match its media.
    """
    messages = read_turns(row.get(_COLUMN), column=_COLUMN, tags=SHAREGPT, unread=unread)
    media = media_of(row)
    messages = _with_own_placeholder(messages, media)
    return {"messages": with_media(messages, media, none_is_first=True)} | kept(row)


def _with_own_placeholder(messages: list[Message], media: Media) -> list[Message]:
    """Let `<image>` stand for the media of a row that has no image.

    LLaVA knows no other placeholder; LLaVA-Video-178K writes it for a video.
    """
    given = [modality for modality, parts in media.items() if parts]
    if len(given) != 1 or given == ["image"]:
        return messages
    pieces = [piece for message in messages for piece in pieces_of(message["content"])]
    if Place(given[0]) in pieces:
        return messages
    return [
        {**message, "content": message["content"].replace("<image>", f"<{given[0]}>")}
        if isinstance(message["content"], str)
        else message
        for message in messages
    ]
