"""What a record may hold."""

from pathlib import Path
from typing import Any

import pytest

from anymal.errors import DataError
from anymal.protocol.conversation import read_conversation
from train.data.records import check_record, has_empty_answer
from train.data.sources import RecordFile


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


def test_a_manifest_counts_its_empty_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = '{"messages": [{"role": "assistant", "content": "%s"}]}\n'
    path.write_text("".join(row % answer for answer in ("", "Yes.", " ")))
    assert RecordFile(path).num_empty == 2


@pytest.mark.parametrize("text", ['[\n  {"id": 1}\n]', '[{"id": 1}]', '\n\ufeff[{"id": 1}]'])
def test_a_json_list_is_told_from_a_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "llava.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="a JSON list; one object per line"):
        RecordFile(path)
