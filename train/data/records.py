"""What one record may hold, checked before any medium is decoded.

Does not read manifests or call sources; `train.data.sources` does.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from anymal.data.checks.mistake import Mistake
from anymal.data.checks.turns import key_mistakes, turn_mistakes
from anymal.errors import ConversationError, DataError
from anymal.protocol.conversation import Conversation, Message, TextPart
from anymal.protocol.record import read_record

# Mistakes with which nothing can be learnt from a record, or the wrong thing; only
# `anymal data check` finds the others. Its shape is checked when it is read.
_STOPPING = ("unknown_key", "placeholder", "no_answer")


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
    _refuse(key_mistakes(record), where=where)
    try:
        conversation = read_record(record)
    except ConversationError as error:
        raise DataError(f"{where}: {error}") from error
    _refuse(turn_mistakes(record), where=where)
    if base_dir is not None:
        _check_files(conversation, where=where, base_dir=base_dir)
    return conversation


def check_question(record: object, *, where: str, base_dir: Path | None) -> Conversation:
    """Check a record whose answer is not learnt: a last message of the assistant is left out.

    Args:
        record: See `check_record`; it need not have an answer.
        where: Names the record in errors.
        base_dir: Folder that media paths are relative to; None leaves paths unchecked.

    Returns:
        The validated conversation up to the question.

    Raises:
        DataError: Starts with `where`, then says what is wrong and what is expected.
    """
    messages = record.get("messages") if isinstance(record, Mapping) else None
    if not isinstance(record, Mapping) or not isinstance(messages, list):
        return check_record(record, where=where, base_dir=base_dir)  # which refuses it
    asked = list(messages)
    if asked and isinstance(asked[-1], Mapping) and asked[-1].get("role") == "assistant":
        asked.pop()
    if not asked or not isinstance(asked[-1], Mapping) or asked[-1].get("role") != "user":
        raise DataError(f"{where}: messages should end with a question of the user, to be answered")
    answered = {**record, "messages": [*asked, {"role": "assistant", "content": "-"}]}
    whole = check_record(answered, where=where, base_dir=base_dir)
    return whole.model_copy(update={"messages": whole.messages[:-1]})


def has_empty_answer(conversation: Conversation) -> bool:
    """Whether an answer that is learnt has no words."""
    return any(
        message.is_learnt and not "".join(_texts(message)).strip()
        for message in conversation.messages
    )


def _refuse(mistakes: Iterable[Mistake], *, where: str) -> None:
    """Refuse a record with a mistake that would spoil what is learnt."""
    for mistake in mistakes:
        if mistake.kind in _STOPPING:
            raise DataError(f"{where}: {mistake.reason}; {mistake.change}")


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
