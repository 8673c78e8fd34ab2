"""JSON text to values, once it is known how much it holds.

Does not know requests. A parser holds the interpreter from its first byte to its last, and a
million small values take far more memory than their text: both are bounded before.
"""

import codecs
import re
from typing import Any

from pydantic_core import from_json

from anymal.protocol.explain import BodyProblem
from server.errors import BadRequest, BodyTooLarge

MAX_PIECES = 500_000  # commas, lists and objects; 70,000 rows of motion
MAX_TEXTS = 100_000  # keys included, and pairs of quotes within a text
MAX_DIGITS = 500  # in a row; the time to read an integer grows with their square
_SMALL_BYTES = 2**16  # cannot hold enough to matter
_STEP_BYTES = 2**20  # between two chances for other threads
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_QUOTE, _BACKSLASH = b'"', ord("\\")


def parsed(text: bytearray) -> Any:
    """The value of a JSON text.

    Args:
        text: UTF-8, with or without a byte order mark.

    Raises:
        BadRequest: If it is not JSON, or nested deeper than 200 levels.
        BodyTooLarge: If it holds too many values.
    """
    if text.startswith(codecs.BOM_UTF8):
        del text[: len(codecs.BOM_UTF8)]
    if len(text) > _SMALL_BYTES:
        _check(text)
    try:
        return from_json(text, cache_strings="keys")
    except ValueError as error:
        raise not_json(f"the body is not JSON that can be read: {error}") from None


def not_json(message: str) -> BadRequest:
    """The error of a body that is no JSON."""
    return BadRequest(BodyProblem(message=message, param=None, code="invalid_json"))


def _check(text: bytearray) -> None:
    """Refuse more values than a request needs, and numbers that take long to read.

    Signs within texts count as well: going from text to text takes as long as a parser does, so it
    comes after the number of texts is known to be small.
    """
    if text.count(_QUOTE) > 2 * MAX_TEXTS or sum(map(text.count, b"[{,")) > MAX_PIECES:
        raise BodyTooLarge(
            f"the body holds more than {MAX_TEXTS:,} texts or {MAX_PIECES:,} values; send a long "
            "recording as a file (npy, csv, parquet) instead of samples, and fewer of anything else"
        )
    end = 0
    while (begin := text.find(_QUOTE, end)) >= 0:
        _check_numbers(text, end, begin)
        end = begin + 1
        while (end := text.find(_QUOTE, end) + 1) and _is_escaped(text, end - 1):
            pass
        if end == 0:  # the last text has no end, which the parser says
            return
    _check_numbers(text, end, len(text))


def _check_numbers(text: bytearray, begin: int, end: int) -> None:
    """Refuse a long number where no text is."""
    if end - begin <= MAX_DIGITS:  # as almost always
        return
    for start in range(begin, end, _STEP_BYTES):
        if _LONG_NUMBER.search(text, start, min(end, start + _STEP_BYTES + MAX_DIGITS)):
            raise not_json(f"the body has a number of more than {MAX_DIGITS} digits; round it")


def _is_escaped(text: bytearray, place: int) -> bool:
    """Whether an odd number of backslashes stands before a quote."""
    begin = place
    while text[begin - 1] == _BACKSLASH:
        begin -= 1
    return (place - begin) % 2 == 1
