"""Pairs of question and answer as a text model writes them, and when words say the same.

Does not ask for them.
"""

import json
import re
from dataclasses import dataclass

from anymal.errors import DataError

_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer."""

    question: str
    answer: str


def read_pairs(reply: str) -> list[Pair]:
    """Read a reply: a JSON array of objects with `question` and `answer`, perhaps in a fence.

    Raises:
        DataError: It is something else.
    """
    text = reply.strip()
    fenced = _FENCE.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except json.JSONDecodeError as error:
        raise DataError(f"the reply is not JSON ({error.msg})") from None
    if not isinstance(found, list) or not found:
        raise DataError("the reply is not a JSON array of pairs")
    return [_pair(one) for one in found]


def _pair(value: object) -> Pair:
    """One element of the array."""
    if not isinstance(value, dict) or set(value) != {"question", "answer"}:
        raise DataError("an element of the reply has not exactly a question and an answer")
    texts = [value["question"], value["answer"]]
    if not all(isinstance(text, str) and words(text) for text in texts):
        raise DataError("a question or an answer of the reply is no text, or empty")
    return Pair(*(text.strip() for text in texts))


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation and articles."""
    return tuple(word for word in _WORD.findall(text.lower()) if word not in _ARTICLES)


def agree(first: str, second: str) -> bool:
    """Whether two answers have the same words, or one has all of the other's in a row."""
    shorter, longer = sorted((words(first), words(second)), key=len)
    size = len(shorter)
    starts = range(len(longer) - size + 1)
    return size > 0 and any(longer[start : start + size] == shorter for start in starts)
