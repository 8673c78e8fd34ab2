"""How much a request may hold, in one place, and how a value with more is refused.

Does not count bytes (the service limits bodies), tokens or media (the processor does).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

# A message or a part takes a token or more, and contexts of 100,000 tokens are already long.
MAX_MESSAGES = 100_000
MAX_PARTS = 100_000  # of all messages together
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 1_000
MAX_ANSWERS = 128  # to grade in one request
MAX_ANSWER_CHARACTERS = 10_000
MAX_UNKNOWN_KEYS = 64  # of one object
MAX_NAME_CHARACTERS = 1_000  # of a model or a file
MAX_URL_CHARACTERS = 8_192  # of a medium elsewhere; those of media in the request are longer


def at_most(number: int, what: str) -> BeforeValidator:
    """Refuse a list or an object with more items, before one of them is looked at.

    Args:
        number: The most.
        what: What it holds, in the plural.
    """

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple | Mapping) and len(value) > number:
            raise PydanticCustomError(
                "too_long",
                "{found} {what}; at most {most} are taken",
                {"found": len(value), "what": what, "most": number},
            )
        return value

    return BeforeValidator(check)


def check_keys(value: Mapping[Any, Any], known: Mapping[str, object]) -> None:
    """Refuse an object with very many unknown keys, in one error instead of one for each.

    Raises:
        PydanticCustomError: If it has more than `MAX_UNKNOWN_KEYS`.
    """
    if len(value) <= MAX_UNKNOWN_KEYS:
        return
    unknown = len(value.keys() - known.keys())
    if unknown > MAX_UNKNOWN_KEYS:
        raise PydanticCustomError(
            "too_many_keys", "{found} keys here are not known; remove them", {"found": unknown}
        )


def check_url(url: str) -> str:
    """Refuse a long URL that holds no medium: reading one takes copies, and some are remembered.

    Raises:
        PydanticCustomError: If it is too long.
    """
    if len(url) > MAX_URL_CHARACTERS and url[:16].lstrip()[:5].lower() != "data:":
        raise PydanticCustomError(
            "too_long",
            "a URL of {found} characters; at most {most} are taken, unless it is a data: URL",
            {"found": len(url), "most": MAX_URL_CHARACTERS},
        )
    return url


def check_length(body: Mapping[str, Any]) -> None:
    """Refuse a conversation that fits no context, before one of its messages is looked at.

    Args:
        body: As it came; it need not be valid. Its turns are in `messages` or `input`.

    Raises:
        PydanticCustomError: If there are more turns, or parts in them, than are taken.
    """
    for name in ("messages", "input"):
        turns = body.get(name)
        if not isinstance(turns, list | tuple):
            continue
        _check_number(name, len(turns), "messages", MAX_MESSAGES)
        contents = [each.get("content") for each in turns if isinstance(each, Mapping)]
        parts = sum(len(each) for each in contents if isinstance(each, list | tuple))
        _check_number(name, parts, "parts", MAX_PARTS)


def _check_number(param: str, number: int, what: str, most: int) -> None:
    if number > most:
        raise PydanticCustomError(
            "context_length_exceeded",
            "{param}: {found} {what}; at most {most} are taken; shorten the conversation",
            {"param": param, "found": number, "what": what, "most": most},
        )


ROWS = at_most(2_000_000, "rows")  # of a motion recording; as many as a file of one may have
CHANNELS = at_most(64, "channels")  # of a row; the decoder names the six that there are
OPTIONS = at_most(64, "options")
