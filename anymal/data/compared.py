"""Records whose answers are compared: a chosen and a rejected one, or several with scores.

`{messages, chosen, rejected}`, as a preference stage learns from, or `{messages, completions}`,
which rules make such pairs of. `messages` end with the question. Does not say what is wrong with
such a record; `anymal.data.checks` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAIR = ("chosen", "rejected")
COMPLETIONS = "completions"
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One of several answers to a question.

    Attributes:
        text: Its words.
        score: How good it is, more being better; None where nobody judged it.
        ratings: How good it is by aspect; None for an aspect that has no number.
    """

    text: str
    score: float | None = None
    ratings: Mapping[str, float | None] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """As a record holds it."""
        found: dict[str, Any] = {"text": self.text}
        if self.score is not None:
            found["score"] = self.score
        return found | ({"ratings": dict(self.ratings)} if self.ratings else {})


def is_compared(record: Record) -> bool:
    """Whether a record is of this kind."""
    return any(name in record for name in (*PAIR, COMPLETIONS))


def answers_of(record: Record) -> dict[str, Any]:
    """The answers of a record by their places, as `chosen` or `completions.0.text`, in any shape.

    Empty for a record whose answers are among its messages.
    """
    if any(name in record for name in PAIR):
        return {name: record.get(name) for name in PAIR}
    given = record.get(COMPLETIONS)
    return {
        f"{COMPLETIONS}.{number}.text": one.get("text") if isinstance(one, Mapping) else None
        for number, one in enumerate(given if isinstance(given, list) else [])
    }


def question_of(record: Record) -> list[Any]:
    """The messages of a record, none of them learnt.

    Args:
        record: Whose `messages` are a list.
    """
    return [
        {**message, "loss": False}
        if isinstance(message, Mapping) and message.get("role") == "assistant"
        else message
        for message in record["messages"]
    ]


def answered(record: Record, answer: str) -> dict[str, Any]:
    """The conversation in which a question got one of its answers."""
    said = {"role": "assistant", "content": answer}
    return {**without_answers(record), "messages": [*question_of(record), said]}


def without_answers(record: Record) -> dict[str, Any]:
    """What a record holds besides its answers."""
    own = PAIR if any(name in record for name in PAIR) else (COMPLETIONS,)
    return {name: one for name, one in record.items() if name not in own}
