"""Prompts that a recipe says itself: templates by the row's hash, boxes, and task tags."""

import copy
from collections import Counter
from typing import Any

import pytest

from anymal.errors import ConversationError, RecipeError
from anymal.protocol.conversation import read_conversation
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.own_prompt import OwnPrompt, style_of
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.section import parse_section
from anymal.recipe.task_tags import TAGS, with_tag

BOX = {"box": [64, 48, 320, 240], "width": 640, "height": 480}


def own(**given: Any) -> Any:
    return parse_section(OwnPrompt, {"templates": ["{question}"], **given}, where="recipe").style()


def asked(record: Any) -> str:
    return str(record["messages"][0]["content"][1]["text"])


def test_the_medium_opens_the_request_without_a_system_message() -> None:
    row = {"image": "a.jpg", "question": "Who?", "text": "A cat.", "id": "1"}
    assert own().conversation(row) == {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "a.jpg"}},
                    {"type": "text", "text": "Who?"},
                ],
            },
            {"role": "assistant", "content": "A cat."},
        ],
        "id": "1",
    }
    with_system = own(system="Look: ").conversation(row)["messages"]
    assert [each["role"] for each in with_system] == ["system", "user", "assistant"]


def test_the_row_chooses_a_template_and_always_the_same() -> None:
    style = own(templates=["A {text}?", "B {text}?", "C {text}?"])
    rows = [{"image": f"{n}.jpg", "text": "cat"} for n in range(600)]
    first = [asked(style.conversation(row)) for row in rows]
    assert first == [asked(style.conversation(copy.deepcopy(row))) for row in rows]
    # No order of keys and no process changes it: SHA-256 of the sorted JSON, modulo 3.
    assert "".join(text[0] for text in first[:12]) == "AAAAAABCACCB"
    assert all(abs(count - 200) < 50 for count in Counter(first).values())


def test_a_box_is_written_and_asked_for() -> None:
    style = own(templates=["Where is {text}?"], answer="{box}", coordinates="minigpt_v2")
    record = style.conversation({"image": "a.jpg", "text": "the cat", **BOX, "meta": {"task": "t"}})
    assert asked(record) == "Where is the cat?"
    assert record["messages"][-1]["content"] == "{<10><10><50><50>}"
    assert record["meta"] == {
        "task": "t",
        "answer": "{<10><10><50><50>}",
        "score": "box",
        "box": {"edges": [64, 48, 320, 240], "size": [640, 480], "coordinates": "minigpt_v2"},
    }
    read_conversation(record)


def test_a_box_may_stand_in_the_question_and_in_a_square() -> None:
    given = {"templates": ["What is in {box}?"], "coordinates": "shikra", "square": True}
    record = own(**given).conversation({"image": "a.jpg", "text": "A cat.", **BOX})
    assert asked(record) == "What is in [0.100,0.200,0.500,0.500]?"
    assert "meta" not in record
    several = {**BOX, "box": [[64, 48, 320, 240], [0, 0, 640, 480]]}
    record = own(**given).conversation({"image": "a.jpg", "text": "Cats.", **several})
    assert "[0.100,0.200,0.500,0.500;0.000,0.125,1.000,0.875]" in asked(record)


@pytest.mark.parametrize("box", [[1, 2, 3], "1,2,3,4", [[1, 2, 3, 4], [1]], None])
def test_a_box_of_another_shape_is_refused(box: Any) -> None:
    style = own(templates=["{box}"], coordinates="shikra")
    with pytest.raises(ConversationError, match=r"it should be \[left, top, right, bottom\]"):
        style.conversation({"image": "a.jpg", "text": "x", **BOX, "box": box})


@pytest.mark.parametrize("sides", [{"width": "640"}, {"height": 0}, {"width": 6.5}])
def test_a_picture_without_sides_is_refused(sides: dict[str, Any]) -> None:
    style = own(templates=["{box}"], coordinates="shikra")
    with pytest.raises(ConversationError, match="the sides of the picture, as whole numbers"):
        style.conversation({"image": "a.jpg", "text": "x", **BOX, **sides})


def test_the_size_of_the_picture_is_asked_for() -> None:
    style = own(templates=["{box}"], coordinates="shikra")
    with pytest.raises(ConversationError, match="missing: width, height"):
        style.conversation({"image": "a.jpg", "text": "x", "box": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"templates": []}, "templates"),
        ({"templates": ["{"]}, "templates|expected '}'|Single"),
        ({"templates": ["{box}"]}, "give both or neither"),
        ({"coordinates": "shikra"}, "give both or neither"),
        ({"templates": ["{box}"], "coordinates": "yolo"}, "unknown coordinates 'yolo'; known: shi"),
        ({"square": True}, "square is for boxes"),
        ({"modality": "smell"}, "modality"),
        ({"words": "x"}, "unknown key 'words'"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(given: dict[str, Any], says: str) -> None:
    entry = {"manifest": "a.jsonl", "prompt": {"templates": ["{question}"], **given}}
    with pytest.raises(RecipeError, match=says):
        parse_section(DataRecipe, entry, where="recipe")


def test_named_prompts_are_found_as_before() -> None:
    assert style_of("vqa") is PROMPTS["vqa"]


# --- tags ---------------------------------------------------------------------------------------


def record_of(content: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    }


IMAGE = {"type": "image_url", "image_url": {"url": "a.jpg"}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (" Who?", "[vqa] Who?"),
        ("", "[vqa]"),
        (
            [IMAGE, {"type": "text", "text": "Who?"}],
            [IMAGE, {"type": "text", "text": "[vqa] Who?"}],
        ),
        ([IMAGE], [IMAGE, {"type": "text", "text": "[vqa]"}]),
    ],
)
def test_a_tag_begins_the_words_and_is_not_added_twice(content: Any, expected: Any) -> None:
    once = with_tag(record_of(content), TAGS["vqa"])
    assert once == record_of(expected)
    assert with_tag(once, TAGS["vqa"]) == once


def test_the_tags_are_those_of_minigpt_v2() -> None:
    assert list(TAGS) == ["vqa", "caption", "grounding", "refer", "identify", "detection"]
    with pytest.raises(RecipeError, match="unknown tag 'ocr'; known: vqa, caption"):
        parse_section(DataRecipe, {"manifest": "a", "tag": "ocr"}, where="recipe")
    with pytest.raises(RecipeError, match="tag belong to a manifest"):
        parse_section(DataRecipe, {"source": "a:b", "tag": "vqa"}, where="recipe")
