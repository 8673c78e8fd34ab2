"""Records whose answers are compared: what is wrong with them."""

from typing import Any

import pytest

from anymal.data.checks.talk import read_talk

ASKED = [{"role": "user", "content": "Which?"}]


def pair(**changes: Any) -> dict[str, Any]:
    row = {"messages": ASKED, "chosen": "It is red.", "rejected": "It is blue."} | changes
    return {name: value for name, value in row.items() if value is not None}


def kinds(record: Any, *numbers: str) -> list[str]:
    return [one.kind for one in read_talk(record, numbers).mistakes]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"rejected": None}, "no_answer"),
        ({"chosen": " "}, "blank_answer"),
        ({"chosen": 3}, "no_answer"),
        ({"rejected": "It is red."}, "same_answers"),
        ({"messages": []}, "no_messages"),
        ({"messages": ["Which?"]}, "no_question"),
        ({"messages": [{"role": "assistant", "content": "Red."}]}, "no_question"),
        ({"score": 3}, "unknown_key"),
        ({"completions": []}, "unknown_key"),
        ({"rejected": "It is <image>."}, "placeholder"),
        ({"messages": [{"role": "user", "content": "<image>Which?"}]}, "placeholder"),
    ],
)
def test_what_is_wrong_with_a_pair_is_found(changes: dict[str, Any], kind: str) -> None:
    assert kinds(pair(**changes))[0] == kind


def test_a_good_pair_is_two_conversations() -> None:
    before = [*ASKED, {"role": "assistant", "content": "Hm."}, *ASKED]
    talk = read_talk(pair(messages=before, meta={"severity": 2}))
    assert talk.mistakes == ()
    said = [[message.content for message in one.messages] for one in talk.conversations]
    assert said == [
        ["Which?", "Hm.", "Which?", "It is red."],
        ["Which?", "Hm.", "Which?", "It is blue."],
    ]
    learnt = [[message.is_learnt for message in one.messages] for one in talk.conversations]
    assert learnt == [[False, False, False, True]] * 2


def test_a_mistake_in_an_answer_is_named_by_its_place() -> None:
    (mistake,) = read_talk(pair(rejected="It is <image>.")).mistakes
    assert mistake.reason == "rejected.content: '<image>' is left as words"


@pytest.mark.parametrize("meta", [None, {}, {"severity": "high"}, {"severity": True}])
def test_numbers_that_a_stage_weighs_by_have_to_be_there(meta: Any) -> None:
    assert kinds(pair(meta=meta), "severity") == ["no_number"]
    assert kinds(pair(meta=meta)) == []
    assert kinds(pair(meta={"severity": 2}), "severity") == []


@pytest.mark.parametrize(
    ("completions", "kind"),
    [
        ([], "completions"),
        ("Red.", "completions"),
        (["Red."], "completions"),
        ([{"text": "Red.", "score": "4"}], "completions"),
        ([{"text": "Red.", "ratings": {"faithful": "4"}}], "completions"),
        ([{"text": "Red.", "ratings": 4}], "completions"),
        ([{"text": "Red.", "grade": 4}], "completions"),
        ([{"score": 4}], "no_answer"),
        ([{"text": "Red."}, {"text": " "}], "blank_answer"),
        ([{"text": "<audio>"}], "placeholder"),
    ],
)
def test_completions_have_texts_and_numbers(completions: Any, kind: str) -> None:
    found = kinds({"messages": ASKED, "completions": completions})
    assert found[0] == kind
    assert set(found) <= {kind, "no_answer"}


def test_good_completions_are_a_conversation_each() -> None:
    completions = [
        {"text": "Red."},
        {"text": "Blue.", "score": 1.5, "ratings": {"faithful": 1, "ethical": None}},
    ]
    talk = read_talk({"id": "a", "messages": ASKED, "completions": completions})
    assert talk.mistakes == ()
    assert [one.messages[-1].content for one in talk.conversations] == ["Red.", "Blue."]


def test_the_same_mistake_in_a_question_is_told_once() -> None:
    messages = [{"role": "user", "content": "Which?"}, {"role": "user", "content": "<image>?"}]
    assert kinds(pair(messages=messages)) == ["same_role", "placeholder"]
