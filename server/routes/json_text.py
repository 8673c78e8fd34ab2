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

MAX_PIECES = 500_000  # texts, commas, lists and objects; 70,000 rows of motion
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
    """Go through the text from string to string, and count what is between them."""
    number, end = 0, 0
    while True:
        begin = text.find(_QUOTE, end)
        number += 1 + _pieces_between(text, end, len(text) if begin < 0 else begin)
        if begin < 0:
            break
        end = begin + 1
        while (end := text.find(_QUOTE, end) + 1) and _is_escaped(text, end - 1):
            number += 1
            _check_number(number)
        _check_number(number)
        if end == 0:  # the last string has no end, which the parser says
            break
    _check_number(number)


def _pieces_between(text: bytearray, begin: int, end: int) -> int:
    """How many commas, lists and objects there are where no string is."""
    if end - begin <= MAX_DIGITS:  # as almost always
        return _pieces(text, begin, end)
    number = 0
    for start in range(begin, end, _STEP_BYTES):
        stop = min(end, start + _STEP_BYTES)
        number += _pieces(text, start, stop)
        _check_number(number)
        if _LONG_NUMBER.search(text, start, min(end, stop + MAX_DIGITS)):
            raise not_json(f"the body has a number of more than {MAX_DIGITS} digits; round it")
    return number


def _pieces(text: bytearray, begin: int, end: int) -> int:
    opened = text.count(b"[", begin, end) + text.count(b"{", begin, end)
    return opened + text.count(b",", begin, end)


def _is_escaped(text: bytearray, place: int) -> bool:
    """Whether an odd number of backslashes stands before a quote."""
    begin = place
    while text[begin - 1] == _BACKSLASH:
        begin -= 1
    return (place - begin) % 2 == 1


def _check_number(number: int) -> None:
    if number > MAX_PIECES:
        raise BodyTooLarge(
            f"the body holds more than {MAX_PIECES:,} values; send a long recording as a file "
            "(npy, csv, parquet) instead of samples, and fewer of anything else"
        )
