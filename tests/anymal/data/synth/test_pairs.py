"""Replies to pairs, and when two texts say the same."""

import pytest

from anymal.data.synth.made import BLIND, REPEAT, kept_pairs
from anymal.data.synth.pairs import Pair, agree, read_pairs
from anymal.errors import DataError

ONE = '[{"question": "What barks?", "answer": "A dog."}]'


@pytest.mark.parametrize("reply", [ONE, f"```json\n{ONE}\n```", f" {ONE}\n"])
def test_pairs_are_read(reply: str) -> None:
    assert read_pairs(reply) == [Pair("What barks?", "A dog.")]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (f"Here you are: {ONE}", "not JSON"),
        ("{}", "not a JSON array"),
        ("[]", "not a JSON array"),
        ('[{"question": "What?"}]', "not exactly a question and an answer"),
        ('[{"question": "What?", "answer": 3}]', "is no text"),
        ('[{"question": "?", "answer": "Three."}]', "or empty"),
    ],
)
def test_what_cannot_be_read_is_told(reply: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_pairs(reply)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("A dog.", "the DOG", True),
        ("A dog barks twice.", "dog barks", True),
        ("A dog.", "A doghouse.", False),
        ("dog barks", "A dog that barks", False),
        ("A dog.", "", False),
    ],
)
def test_answers_agree(first: str, second: str, same: bool) -> None:
    assert agree(first, second) is same
    assert agree(second, first) is same


def test_pairs_are_dropped_for_two_reasons() -> None:
    barks, again = Pair("What barks?", "A dog."), Pair("what BARKS", "A fox.")
    grass = Pair("What colour is the grass?", "It is green.")
    said = [[(barks, "A seal."), (again, "")], [(again, ""), (grass, "Green")], [(again, "")]]
    kept, dropped = kept_pairs(said, ["one", "one", "another"])
    assert kept == [(0, barks), (2, again)]
    assert dropped == {REPEAT: 2, BLIND: 1}
