"""TRL's vision data sets: `messages`, or `prompt` and `completion`, with images in a column.

Or `chosen` and `rejected`, behind a `prompt` or with it in both, as STIC has it.

After TRL's `prepare_multimodal_messages`: images of messages that are text go before the first
question; parts that are images and carry none are filled in order. Does not read files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.formats.pairs import pair_of_turns
from anymal.data.formats.turns import LOSS, Message, kept, media_of, open_turns, read_turns
from anymal.data.options import Options
from anymal.data.placeholders import with_media
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread

_PAIR = ("chosen", "rejected")
_COLUMNS = ("messages", "prompt", "completion", *_PAIR)


def open_trl(path: Path, options: Options) -> Rows:
    """Open a file of TRL's rows.

    Args:
        path: JSONL, a JSON array, or a table.
        options: As the recipe says.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, trl_record, _COLUMNS)


def trl_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row.

    Args:
        row: With `messages`, or `prompt` and `completion`, each text or a list of messages; of
            these, as in TRL, the completion alone is learnt. Or with `chosen` and `rejected`.
        unread: Warns of keys of messages that are left out.

    Raises:
        DataError: It is of another shape, or its parts do not match its media.
    """
    if any(row.get(name) is not None for name in _PAIR):
        return _pair(row, unread)
    if row.get("messages") is not None:
        messages = read_turns(row["messages"], column="messages", unread=unread)
    else:
        asked = [_unlearnt(one) for one in _turns(row, "prompt", "user", unread)]
        messages = [*asked, *_turns(row, "completion", "assistant", unread)]
    return {"messages": with_media(messages, media_of(row), none_is_first=True)} | kept(row)


def _pair(row: Mapping[str, Any], unread: Unread | None) -> Record:
    """A record of two answers."""
    asked = [] if row.get("prompt") is None else _turns(row, "prompt", "user", unread)
    chosen, rejected = ([*asked, *_turns(row, name, "assistant", unread)] for name in _PAIR)
    return pair_of_turns(row, chosen, rejected, names=_PAIR)


def _turns(row: Mapping[str, Any], column: str, role: str, unread: Unread | None) -> list[Message]:
    """A prompt or a completion as messages."""
    if isinstance(row.get(column), str):
        return [{"role": role, "content": row[column]}]
    return read_turns(row.get(column), column=column, unread=unread)


def _unlearnt(message: Message) -> Message:
    """A message of a prompt."""
    return {**message, LOSS: False} if message["role"] == "assistant" else message
