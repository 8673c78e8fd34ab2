"""Mistakes in a record and its turns: keys, roles, answers, placeholders.

Does not read media.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anymal.data.checks.mistake import Mistake, mistake_of
from anymal.errors import ConversationError
from anymal.modality import MODALITIES
from anymal.protocol.conversation import Conversation
from anymal.protocol.record import read_record

_KEYS = ("messages", "id", "meta")
_ROLES = ("system", "developer", "user", "assistant")
# Neighbouring system messages are joined and mean one thing.
_ALTERNATING = ("user", "assistant")
_PLACEHOLDER = re.compile(rf"<({'|'.join(MODALITIES)})>", re.IGNORECASE)


def key_mistakes(record: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find keys that a record does not have, and that would be left out of what is learnt.

    Args:
        record: As its format made it.

    Yields:
        One mistake at most.
    """
    if unknown := [key for key in record if key not in _KEYS]:
        yield Mistake(
            kind="unknown_key",
            reason=f"{', '.join(map(repr, unknown)):.200} is not understood here",
            change="a record has messages, and perhaps id and meta, and media are parts of its "
            "messages; name the format of other rows",
        )


def turn_mistakes(record: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find what is wrong with the turns of a record, all of it.

    Args:
        record: With `messages`, in whatever shape.

    Yields:
        The mistakes, by message; none of what is no list, which others find.
    """
    messages = record.get("messages")
    if not messages:
        yield Mistake(
            kind="no_messages", reason="the row has no messages", change="add them, or remove it"
        )
    elif isinstance(messages, list):
        turns = [turn if isinstance(turn, Mapping) else {} for turn in messages]
        yield from _role_mistakes(turns)
        for number, turn in enumerate(turns):
            yield from _content_mistakes(turn, place=f"messages.{number}")


def readable(record: Mapping[str, Any]) -> Conversation | Mistake:
    """Validate the messages of a record, except roles, which `turn_mistakes` checks.

    Returns:
        The conversation, or why it is none.
    """
    messages = record.get("messages")
    if isinstance(messages, list):
        messages = [_with_known_role(turn) for turn in messages]
    try:
        return read_record({"messages": messages})
    except ConversationError as error:
        return mistake_of(error, "shape", change="write messages as docs/rest.md shows them")


def _with_known_role(turn: Any) -> Any:
    """A message whose role is known."""
    if not isinstance(turn, Mapping) or turn.get("role") in _ROLES:
        return turn
    return {**turn, "role": "user"}


def _role_mistakes(turns: Sequence[Mapping[str, Any]]) -> Iterator[Mistake]:
    """Roles that are unknown, repeated or missing."""
    roles = [turn.get("role") for turn in turns]
    for number, role in enumerate(roles):
        if role not in _ROLES:
            yield Mistake(
                kind="role",
                reason=f"messages.{number} has the role {role!r:.80}",
                change=f"use one of {', '.join(_ROLES)}",
            )
        if number and role in _ALTERNATING and role == roles[number - 1]:
            yield Mistake(
                kind="same_role",
                reason=f"messages.{number - 1} and messages.{number} are both of the {role}",
                change="join them, or add the turn that is missing between them",
            )
    if not any(map(_is_learnt, turns)):
        yield Mistake(
            kind="no_answer",
            reason="no message has the role 'assistant' and is learnt, so there is nothing to "
            "learn",
            change="end the conversation with the wanted answer",
        )


def _content_mistakes(turn: Mapping[str, Any], *, place: str) -> Iterator[Mistake]:
    """What is wrong inside one message."""
    words, has_media = _words(turn.get("content"))
    if found := _PLACEHOLDER.search(words):
        part_type = MODALITIES[found[1].lower()].part_types[-1]
        yield Mistake(
            kind="placeholder",
            reason=f"{place}.content: {found[0]!r} is left as words",
            change="put the medium in its place as a part of the type "
            f"{part_type}, or write it otherwise if it means no medium",
        )
    if turn.get("role") == "assistant" and has_media:
        yield Mistake(
            kind="medium_in_answer",
            reason=f"{place} is an answer and holds a medium",
            change="put it into a message of the user; a model writes only words",
        )
    elif _is_learnt(turn) and not words.strip():
        yield Mistake(
            kind="blank_answer",
            reason=f"{place} is an answer without words, from which the model learns to say "
            "nothing",
            change="write the answer, or remove the row",
        )


def _is_learnt(turn: Mapping[str, Any]) -> bool:
    """Whether a model learns to write a message."""
    return turn.get("role") == "assistant" and turn.get("loss") is not False


def _words(content: Any) -> tuple[str, bool]:
    """All words of a message, and whether it holds something else."""
    if isinstance(content, str):
        return content, False
    given = content if isinstance(content, list | tuple) else ()
    parts = [part for part in given if isinstance(part, Mapping)]
    texts = [str(part.get("text", "")) for part in parts if part.get("type") == "text"]
    return "\n".join(texts), len(texts) < len(parts)
