from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.errors import DataError
from anymal.evaluation.scoring import find_phrases, is_right, read_expected

ACTIVITIES = [
    "walking",
    "walking upstairs",
    "sitting",
    "standing",
    "standing up from sitting",
    "lying down",
]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def right(text: str, **meta: Any) -> bool:
    return is_right(text, read_expected({"meta": {"task": "t", **meta}}))


@pytest.mark.parametrize(
    ("text", "answer", "verdict"),
    [
        ("The person is walking upstairs.", "walking upstairs", True),
        ("The person is walking upstairs.", "walking", False),
        ("The person is WALKING, calmly!", "walking", True),
        ("The person is standing up from sitting.", "standing up from sitting", True),
        ("The person is standing up from sitting.", "sitting", False),
        ("The person is standing up from sitting, now sitting.", "standing up from sitting", False),
        ("Either sitting or standing.", "sitting", False),
        ("Sitting. Yes, sitting.", "sitting", True),
        ("The person is outstanding.", "standing", False),
        ("lying-down", "lying down", True),
        ("", "walking", False),
    ],
)
def test_exactly_the_right_choice_is_named(text: str, answer: str, verdict: bool) -> None:
    assert right(text, answer=answer, choices=ACTIVITIES) is verdict


def test_choice_with_punctuation_is_found() -> None:
    clothing = ["T-shirt/top", "Shirt", "Ankle boot"]
    assert right("This is a T-shirt/top.", answer="T-shirt/top", choices=clothing)
    assert not right("This is a T-shirt/top.", answer="Shirt", choices=clothing)
    assert right("an ankle boot", answer="Ankle boot", choices=clothing)


def test_synonym_counts_as_its_choice() -> None:
    meta = {"choices": ["sneaker", "boot"], "synonyms": {"sneaker": ["trainer", "running shoe"]}}
    assert right("A running shoe.", answer="sneaker", **meta)
    assert not right("A trainer.", answer="boot", **meta)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("Yes, no doubt.", True), ("No, yes.", False), ("They match, yes.", False), ("", False)],
)
def test_yes_or_no_is_decided_by_the_first_word(text: str, verdict: bool) -> None:
    assert right(text, answer="yes", choices=["yes", "no"]) is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("First three, then five, then nine.", True),
        ("First five, then three, then nine.", False),
        ("First three, then five.", False),
        ("First three, then five, then nine, then three.", False),
    ],
)
def test_order_must_be_fully_right(text: str, verdict: bool) -> None:
    assert right(text, choices=DIGITS, all_of=["three", "five", "nine"]) is verdict


def test_repeats_in_an_order_are_kept() -> None:
    assert right("one, one, two", choices=DIGITS, all_of=["one", "one", "two"])
    assert not right("one, two", choices=DIGITS, all_of=["one", "one", "two"])


def test_open_question_needs_the_answer_somewhere() -> None:
    assert right("A small red circle and a dog.", answer="red circle")
    assert not right("A redcircle.", answer="red circle")
    assert right("either sitting or standing", answer="sitting", choices=["x"], score="contains")
    assert right("blue, then red", all_of=["red", "blue"], score="contains")
    assert not right("blue", all_of=["red", "blue"], score="contains")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (None, "no meta.answer"),
        ({"task": "t", "choices": ["a"]}, "no meta.answer"),
        ({"answer": "c", "choices": ["a", "b"]}, "not in its choices"),
        ({"all_of": ["a", "c"], "choices": ["a", "b"]}, "not in its choices"),
        ({"answer": "a", "score": "bleu"}, "allowed: 'choice', 'contains', 'avoids', 'box'"),
        ({"answer": "a", "score": "choice"}, "not in its choices"),
    ],
)
def test_unusable_meta_is_refused(meta: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_expected({"id": "r7", "meta": meta})
    assert "r7" in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(DIGITS), max_size=6))
def test_find_phrases_returns_what_was_said_in_order(said: list[str]) -> None:
    text = ", then ".join(said)
    assert find_phrases(text, [(digit, digit) for digit in DIGITS]) == said


LARGER = {"answer": "spoken digit", "choices": ["hand sign", "spoken digit", "equal"]}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The hand shows three and the voice says seven: the spoken digit is larger.", True),
        ("The hand sign is three and the spoken digit is seven: the spoken digit is larger.", True),
        ("The hand sign is three and the spoken digit is seven: the hand sign is larger.", False),
        ("The hand sign is three and the spoken digit is seven.", False),
        ("The hand shows three and the voice says seven: they are equal.", False),
        ("The spoken digit is larger: seven is more than three.", True),
        ("The hand sign is larger: seven is more than three.", False),
        ("The spoken digit: not the hand sign.", False),
        ("The hand shows three and the voice says seven:", False),
    ],
)
def test_a_comparison_is_decided_by_what_follows_its_values(text: str, verdict: bool) -> None:
    assert right(text, **LARGER) is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The hand shows one and the voice says one: yes, they match.", True),
        ("There is no star and one beep: yes, they match.", True),
        ("The hand shows one and the voice says two: no, they do not match.", False),
        ("Yes: both are one.", True),
        ("No: they do not match, yes.", False),
        ("The hand shows one and the voice says one: they match.", False),
    ],
)
def test_yes_or_no_may_follow_the_values(text: str, verdict: bool) -> None:
    assert right(text, answer="yes", choices=["yes", "no"]) is verdict


def test_an_answer_that_avoids_is_any_other() -> None:
    meta = {"all_of": ["came with this question", "I only know"], "score": "avoids"}
    assert right("The hand shows nine, I know.", **meta)
    for text in ("No sound came with this question.", "i only know shapes", " "):
        assert not right(text, **meta)
