"""Sentences of a growing answer."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from server.answering.sentences import Sentences

TEXT = st.text(alphabet='ab. !?\n"', max_size=300)


def cut(pieces: list[str]) -> list[str]:
    sentences = Sentences()
    found = [sentence for piece in pieces for sentence in sentences.add(piece)]
    return [*found, rest] if (rest := sentences.rest()) else found


def test_sentences_come_when_they_are_whole() -> None:
    sentences = Sentences()
    assert sentences.add("It is a cat") == []
    assert sentences.add(". ") == []
    assert sentences.add('It says "Meow." ') == ["It is a cat. "]
    assert sentences.add("3.5 of") == ['It says "Meow." ']
    assert sentences.add(" 4.\n\nNext") == ["3.5 of 4.\n\n"]
    assert sentences.rest() == "Next"
    assert sentences.rest() == ""


def test_text_without_an_end_is_cut_at_a_space() -> None:
    found = cut(["word " * 200])
    assert len(found) > 1
    assert all(len(piece) <= 400 and piece.endswith(" ") for piece in found)
    assert all(len(piece) <= 400 for piece in cut(["x" * 1000]))


@settings(deadline=None)
@given(st.lists(TEXT, max_size=20))
def test_nothing_is_lost_or_changed(pieces: list[str]) -> None:
    assert "".join(cut(pieces)) == "".join(pieces)


@settings(deadline=None)
@given(TEXT, st.lists(st.integers(0, 300), max_size=10))
def test_pieces_do_not_matter(text: str, places: list[int]) -> None:
    at = [0, *sorted(place for place in places if place < len(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(at)]
    assert cut(pieces) == cut([text])
