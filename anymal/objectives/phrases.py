"""Phrases of two answers that stand for each other, and which tokens are theirs.

HALVA compares phrase by phrase (arXiv 2405.18654): what is right in the one answer and
made up in the other. Knows no tokeniser and no tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from anymal.errors import DataError

_NUMBERS = 3  # start, end and phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an answer that belongs to a phrase.

    Attributes:
        start: Its first character.
        end: The character after its last.
        phrase: The number of the phrase, from 1; spans of several parts may be one phrase.
    """

    start: int
    end: int
    phrase: int


def read_phrases(
    written: Any, answers: Mapping[str, str], *, where: str
) -> dict[str, tuple[Span, ...]]:
    """Read `meta.phrases` of a record.

    Args:
        written: By answer, `[start, end, phrase]` of each span; phrases are whole numbers.
        answers: Their words.
        where: Names the record in errors.

    Returns:
        By answer, its spans in order; phrases are counted from 1 without gaps.

    Raises:
        DataError: It is not so, spans overlap or leave the answer, or a phrase is in one answer
            alone.
    """
    if not isinstance(written, Mapping) or set(written) != set(answers):
        raise DataError(
            f"{where}: unit: phrase compares phrases, and meta.phrases is {written!r:.80}; write "
            f"spans for each of {' and '.join(answers)}, such as [[4, 9, 1]]: characters 4 to 8 "
            "are phrase 1"
        )
    found = {
        name: sorted(
            (_span(each, answers[name], where=f"{where}: meta.phrases.{name}") for each in spans),
            key=lambda span: span.start,
        )
        for name, spans in written.items()
    }
    for name, spans in found.items():
        for one, other in pairwise(spans):
            if other.start < one.end:
                raise DataError(
                    f"{where}: meta.phrases.{name}: characters {other.start} to {one.end - 1} are "
                    "in two spans"
                )
    own = [{span.phrase for span in spans} for spans in found.values()]
    every = sorted({phrase for each in own for phrase in each})
    if alone := [phrase for phrase in every if not all(phrase in each for each in own)]:
        raise DataError(
            f"{where}: meta.phrases: phrase {alone[0]} is in one answer alone; give it a span in "
            f"each of {' and '.join(answers)}"
        )
    if not every:
        raise DataError(f"{where}: meta.phrases has no phrase, so there is nothing to compare")
    numbers = {phrase: number for number, phrase in enumerate(every, start=1)}
    return {
        name: tuple(
            Span(start=span.start, end=span.end, phrase=numbers[span.phrase]) for span in spans
        )
        for name, spans in found.items()
    }


def phrases_of_tokens(
    places: Sequence[tuple[int, int]], spans: Sequence[Span], *, where: str
) -> tuple[int, ...]:
    """Which phrase each token belongs to: the first that it shares a character with.

    Args:
        places: First character of each token, and the one after its last.
        spans: Of the same text, in order.
        where: Names the answer in errors.

    Returns:
        Numbers of phrases, 0 outside.

    Raises:
        DataError: A phrase has no token of its own.
    """
    found = tuple(
        next((span.phrase for span in spans if start < span.end and span.start < end), 0)
        for start, end in places
    )
    if lost := {span.phrase for span in spans} - set(found):
        raise DataError(
            f"{where}: phrase {min(lost)} has no token that is not of another phrase; join the two"
        )
    return found


def _span(written: Any, answer: str, *, where: str) -> Span:
    """One span."""
    is_numbers = isinstance(written, list) and all(type(each) is int for each in written)
    if not is_numbers or len(written) != _NUMBERS:
        raise DataError(f"{where}: {written!r:.80} is no [start, end, phrase]")
    start, end, phrase = written
    if not 0 <= start < end <= len(answer):
        raise DataError(
            f"{where}: {written} is no part of the answer, which has {len(answer)} characters"
        )
    return Span(start=start, end=end, phrase=phrase)
