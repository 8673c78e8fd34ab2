"""What is said in a record, checked: its conversation, or its question with each of its answers.

Does not read media.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from anymal.data.checks.answers import answer_mistakes, ends_with_question
from anymal.data.checks.mistake import Mistake
from anymal.data.checks.turns import key_mistakes, readable, turn_mistakes
from anymal.data.compared import answered, answers_of, is_compared, without_answers
from anymal.protocol.conversation import Conversation

_ALONE = "messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What is said in a record.

    Attributes:
        mistakes: What is wrong with it.
        conversations: One, or one for each of several answers.
        unread: Why there are none; None where there are. Other mistakes may tell it better.
    """

    mistakes: tuple[Mistake, ...]
    conversations: tuple[Conversation, ...] = ()
    unread: Mistake | None = None


def read_talk(record: Mapping[str, Any], numbers: Collection[str] = ()) -> Talk:
    """Check the turns and the answers of a record.

    Args:
        record: As its format made it.
        numbers: Keys of `meta` that a stage weighs pairs of answers by.
    """
    mistakes: list[Mistake] = []
    told = {"": record}
    if is_compared(record):
        mistakes += answer_mistakes(record, numbers)
        told = _by_answer(record)
    conversations: list[Conversation] = []
    for place, each in told.items():
        mistakes += key_mistakes(each)
        mistakes += _turn_mistakes(place, each)
        read = readable(each)
        if isinstance(read, Mistake):
            return Talk(mistakes=tuple(mistakes), unread=read)
        conversations.append(read)
    # What is wrong with a question is found beside each of its answers.
    return Talk(mistakes=tuple(dict.fromkeys(mistakes)), conversations=tuple(conversations))


def _by_answer(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The question with each answer, by the answer's place; alone where none can follow it."""
    messages = record.get("messages")
    usable = {
        place: answer
        for place, answer in answers_of(record).items()
        if isinstance(answer, str) and answer.strip()
    }
    if not usable or not isinstance(messages, list) or not messages:
        return {_ALONE: without_answers(record)}
    if not ends_with_question(messages):
        return {_ALONE: without_answers(record)}
    return {place: answered(record, answer) for place, answer in usable.items()}


def _turn_mistakes(place: str, record: Mapping[str, Any]) -> Iterator[Mistake]:
    """Mistakes in turns; those of an answer that stands beside them are named by its place."""
    for mistake in turn_mistakes(record):
        if place == _ALONE and mistake.kind == "no_answer":
            continue  # a question has none
        if place in ("", _ALONE):
            yield mistake
        else:
            last = f"messages.{len(record['messages']) - 1}"
            yield replace(mistake, reason=mistake.reason.replace(last, place))
