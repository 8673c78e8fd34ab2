"""What a record may hold."""

from typing import Any

import pytest

from anymal.errors import DataError
from anymal.protocol.conversation import read_conversation
from train.data.records import check_question, check_record, has_empty_answer


def record(question: Any = "Is it?", answer: Any = "Yes.", **more: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, **more}


@pytest.mark.parametrize("key", ["images", "videos", "audios", "conversations", "image", "system"])
def test_a_key_that_is_not_understood_is_refused_with_row_and_key(key: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.jsonl:7: '{key}' is not understood here"):
        check_record(record(**{key: ["a.png"]}), where="a.jsonl:7", base_dir=None)


def test_id_and_meta_are_the_callers() -> None:
    check_record(record(id=1, meta={"answer": "Yes."}), where="a", base_dir=None)


@pytest.mark.parametrize("mark", ["<image>", "<video>", "<audio>", "<imu>", "<Image>"])
@pytest.mark.parametrize("is_answer", [True, False])
def test_a_mark_left_as_words_is_refused_with_its_place(mark: str, is_answer: bool) -> None:
    words = f"{mark}\nLook."
    parts = [{"type": "text", "text": "Now."}, {"type": "text", "text": words}]
    wrong = record(answer=words) if is_answer else record(question=parts)
    place = rf"^a\.jsonl:7: messages\.{int(is_answer)}\.content: '{mark}' is left as words"
    with pytest.raises(DataError, match=place):
        check_record(wrong, where="a.jsonl:7", base_dir=None)


def test_other_words_in_angle_brackets_stay_words() -> None:
    check_record(record("Is 1 <image of> 2?", "<b>Yes</b>, an image."), where="a", base_dir=None)


@pytest.mark.parametrize("content", [3, 3.5, True, {"type": "text", "text": "Three."}])
def test_content_of_another_type_is_told_so(content: Any) -> None:
    with pytest.raises(
        DataError, match=r"^a:1: messages\.1\.content: content must be text, or a list of parts$"
    ):
        check_record(record(answer=content), where="a:1", base_dir=None)


@pytest.mark.parametrize(
    ("answer", "is_empty"),
    [("", True), (" \n", True), ([{"type": "text", "text": " "}], True), ("No.", False)],
)
def test_an_answer_without_words_is_empty(answer: Any, is_empty: bool) -> None:
    assert has_empty_answer(read_conversation(record(answer=answer))) == is_empty


def test_what_is_read_without_being_learnt_may_be_empty_and_is_no_answer() -> None:
    unlearnt = {"role": "assistant", "content": "", "loss": False}
    both = {"messages": [unlearnt, *record()["messages"]]}
    assert not has_empty_answer(check_record(both, where="a:1", base_dir=None))
    with pytest.raises(DataError, match=r"^a:1: no message has the role 'assistant' and is learnt"):
        check_record({"messages": [unlearnt]}, where="a:1", base_dir=None)


@pytest.mark.parametrize("role", ["user", "system"])
def test_only_an_answer_may_be_marked_as_unlearnt(role: str) -> None:
    wrong = {"messages": [{"role": role, "content": "Hi.", "loss": False}, *record()["messages"]]}
    with pytest.raises(DataError, match=r"^a:1: messages\.0: loss belongs to a message of the"):
        check_record(wrong, where="a:1", base_dir=None)


ASKED = [{"role": "user", "content": "Which?"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "That."}]


@pytest.mark.parametrize("messages", [ASKED, ANSWERED])
def test_a_question_needs_no_answer_and_keeps_none(messages: list[dict[str, str]]) -> None:
    found = check_question({"messages": messages}, where="row", base_dir=None)
    assert [message.role for message in found.messages] == ["user"]


@pytest.mark.parametrize("messages", [None, [], ANSWERED[1:], [{"role": "system"}]])
def test_a_record_without_a_question_is_refused(messages: Any) -> None:
    with pytest.raises(DataError, match=r"^row: "):
        check_question({"messages": messages}, where="row", base_dir=None)
