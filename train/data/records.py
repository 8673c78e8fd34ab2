"""What one record may hold, checked before any medium is decoded.

Does not read manifests or call sources; `train.data.sources` does.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from anymal.data.rows import Record
from anymal.errors import ConversationError, DataError
from anymal.modality import MODALITIES
from anymal.protocol.conversation import Conversation, Message, TextPart
from anymal.protocol.record import read_record

_KEYS = ("messages", "id", "meta")
# Where other tools put a medium that stands beside the messages.
_PLACEHOLDER = re.compile(rf"<({'|'.join(MODALITIES)})>", re.IGNORECASE)


def check_record(record: object, *, where: str, base_dir: Path | None) -> Conversation:
    """Check what can be checked without decoding: keys, shape, roles, an answer, files present.

    Args:
        record: One row of a manifest, or one record of a Python source.
        where: Names the record in errors.
        base_dir: Folder that media paths are relative to; None leaves paths unchecked.

    Returns:
        The validated conversation.

    Raises:
        DataError: Starts with `where`, then says what is wrong and what is expected.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: a record is an object, not {type(record).__name__}")
    _check_keys(record, where=where)
    try:
        conversation = read_record(record)
    except ConversationError as error:
        raise DataError(f"{where}: {error}") from error
    if not any(message.is_learnt for message in conversation.messages):
        raise DataError(
            f"{where}: no message has the role 'assistant' and is learnt, so there is nothing to "
            "learn; end the conversation with the wanted answer"
        )
    for number, message in enumerate(conversation.messages):
        _check_words(message, where=f"{where}: messages.{number}.content")
    if base_dir is not None:
        _check_files(conversation, where=where, base_dir=base_dir)
    return conversation


def has_empty_answer(conversation: Conversation) -> bool:
    """Whether an answer that is learnt has no words."""
    return any(
        message.is_learnt and not "".join(_texts(message)).strip()
        for message in conversation.messages
    )


def _check_keys(record: Record, *, where: str) -> None:
    """Refuse keys that would be left out of what is learnt."""
    if unknown := [key for key in record if key not in _KEYS]:
        raise DataError(
            f"{where}: {', '.join(map(repr, unknown))} is not understood here; a record has "
            "messages, and perhaps id and meta, and media are parts of its messages"
        )


def _check_words(message: Message, *, where: str) -> None:
    """Refuse words that stand for a medium."""
    for text in _texts(message):
        if found := _PLACEHOLDER.search(text):
            part_type = MODALITIES[found[1].lower()].part_types[-1]
            raise DataError(
                f"{where}: {found[0]!r} is left as words; put the medium in its place as a part "
                f"of the type {part_type}, or write it otherwise if it means no medium"
            )


def _texts(message: Message) -> list[str]:
    """The words of a message, part by part."""
    return [part.text for part in message.parts if isinstance(part, TextPart)]


def _check_files(conversation: Conversation, *, where: str, base_dir: Path) -> None:
    """Check that every media path names a file."""
    for part in (part for message in conversation.messages for part in message.parts):
        body = getattr(part, part.type)
        url = getattr(body, "url", None)
        if url is None or ":" in url.partition("/")[0]:  # a scheme: data:, https:, file:
            continue
        if not (base_dir / url).is_file():
            raise DataError(
                f"{where}: {url!r} does not exist in {str(base_dir)!r}; paths are relative to the "
                "manifest, or to the folder that media names"
            )
