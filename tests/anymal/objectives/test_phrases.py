from typing import Any

import pytest

from anymal.errors import DataError
from anymal.objectives.phrases import Span, phrases_of_tokens, read_phrases

ANSWERS = {"chosen": "A red cat sits.", "rejected": "A blue dog sits."}


def read(chosen: Any, rejected: Any = ([2, 6, 5],)) -> dict[str, tuple[Span, ...]]:
    written = {"chosen": chosen, "rejected": list(rejected)}
    return read_phrases(written, ANSWERS, where="pairs:1")


def test_phrases_are_counted_from_1_and_their_spans_are_in_order() -> None:
    found = read([[6, 9, 9], [2, 5, 7]], [[7, 10, 9], [2, 6, 7], [11, 15, 7]])
    assert found["chosen"] == (Span(start=2, end=5, phrase=1), Span(start=6, end=9, phrase=2))
    assert [span.phrase for span in found["rejected"]] == [1, 2, 1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([[2, 5]], r"pairs:1: meta\.phrases\.chosen: \[2, 5\] is no \[start, end, phrase\]"),
        ([[2, 5, 1.5]], "is no"),
        (["red"], "is no"),
        ([[2, 99, 5]], "no part of the answer, which has 15 characters"),
        ([[5, 5, 5]], "no part of the answer"),
        ([[2, 5, 5], [4, 9, 5]], "characters 4 to 4 are in two spans"),
        ([[2, 5, 4]], "phrase 4 is in one answer alone"),
        ([[2, 5, 5], [6, 9, 6]], "phrase 6 is in one answer alone"),
    ],
)
def test_a_record_says_what_is_wrong(chosen: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(chosen)


@pytest.mark.parametrize("written", [None, [], {"chosen": []}, {"chosen": [], "best": []}])
def test_both_answers_have_phrases(written: Any) -> None:
    with pytest.raises(DataError, match=r"write spans for each of chosen and rejected"):
        read_phrases(written, ANSWERS, where="pairs:1")
    with pytest.raises(DataError, match="no phrase"):
        read([], [])


def test_a_token_is_of_the_phrase_that_it_shares_a_character_with() -> None:
    spans = [Span(start=2, end=5, phrase=1), Span(start=6, end=9, phrase=2)]
    # "A", " red", " c", "at sits", and a special token, which has no place.
    places = [(0, 1), (1, 5), (5, 7), (7, 14), (0, 0)]
    assert phrases_of_tokens(places, spans, where="chosen") == (0, 1, 2, 2, 0)


def test_a_phrase_without_a_token_of_its_own_is_refused() -> None:
    spans = [Span(start=2, end=5, phrase=1), Span(start=6, end=9, phrase=2)]
    with pytest.raises(DataError, match="chosen: phrase 2 has no token that is not of another"):
        phrases_of_tokens([(0, 2), (2, 9), (9, 14)], spans, where="chosen")
