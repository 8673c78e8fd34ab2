"""Text comes out whole, in time, and without stop strings."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymal.engine.text import AnswerText, Detokeniser, StopStrings


def from_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


def from_words(ids: Sequence[int]) -> str:
    """Like SentencePiece: every word carries its space, and a text drops its first."""
    return "".join(f" {'abc'[each]}" for each in ids)[1:]


@given(st.binary(max_size=40))
def test_pieces_join_to_the_text_of_all_ids(data: bytes) -> None:
    pieces = Detokeniser(from_bytes)
    said = "".join(pieces.push(byte) for byte in data) + pieces.flush()
    assert said == from_bytes(data)


@given(st.text(max_size=12))
def test_no_piece_is_half_a_character(text: str) -> None:
    pieces = Detokeniser(from_bytes)
    for byte in text.encode():
        assert "\N{REPLACEMENT CHARACTER}" not in pieces.push(byte)
    assert pieces.flush() == ""


def test_characters_come_as_soon_as_they_are_whole() -> None:
    pieces = Detokeniser(from_bytes)
    assert [pieces.push(byte) for byte in "a\xe9".encode()] == ["a", "", "\xe9"]


@given(st.lists(st.integers(0, 2), max_size=9))
def test_spaces_between_pieces_survive(ids: list[int]) -> None:
    pieces = Detokeniser(from_words)
    assert "".join(pieces.push(each) for each in ids) + pieces.flush() == from_words(ids)


def test_unfinished_character_is_given_out_at_the_end() -> None:
    pieces = Detokeniser(from_bytes)
    assert pieces.push("\xe9".encode()[0]) == ""
    assert pieces.flush() == "\N{REPLACEMENT CHARACTER}"


def stopped(text: str, stop: Sequence[str], size: int = 1) -> str:
    stops = StopStrings(stop)
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    return "".join(stops.push(part) for part in parts) + stops.flush()


@given(
    st.text("abc", max_size=20),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.integers(1, 5),
)
def test_what_is_said_ends_before_the_first_stop_string(
    text: str, stop: list[str], size: int
) -> None:
    said = stopped(text, stop, size)
    assert text.startswith(said)
    assert not any(each in said for each in stop)
    if not any(each in text for each in stop):
        assert said == text


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_earliest_stop_string_wins(size: int) -> None:
    assert stopped("one two three", ["three", "tw"], size) == "one "


def test_only_the_possible_beginning_of_a_stop_string_is_held() -> None:
    stops = StopStrings(["\n\nUser"])
    assert stops.push("hi\n") == "hi"
    assert stops.push("\n") == ""
    assert stops.push("there") == "\n\nthere"
    assert not stops.has_stopped
    assert stops.push("\n\nUser: x") == ""
    assert stops.has_stopped
    assert stops.push("more") == ""


def test_answer_does_not_begin_with_the_space_of_the_template() -> None:
    text = AnswerText(from_bytes, ["\n"])
    assert "".join(text.push(byte) for byte in b" \n yes, it\n is") + text.flush() == "yes, it"
    assert text.has_stopped
