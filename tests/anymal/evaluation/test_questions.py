from types import SimpleNamespace
from typing import Any

import pytest

from anymal.errors import DataError
from anymal.evaluation.controls import media_of, text_of, without_medium
from anymal.evaluation.questions import (
    Question,
    as_controls_ask,
    check_known,
    media_names,
)
from anymal.evaluation.scoring import Expected
from anymal.evaluation.task import Task
from anymal.evaluation.wrong_medium import other_kind, wrong_medium

WANT = Expected(task="t", answer="a", choices=("a", "b"), synonyms={})
TASK = Task(name="t", records=[])


def image(name: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": name}}


def sound(name: str) -> dict[str, Any]:
    return {"type": "audio_url", "audio_url": {"url": name}}


def question(*media: dict[str, Any], number: int = 0) -> Question:
    content = [*media, {"type": "text", "text": "What?"}]
    prompt = {"messages": [{"role": "user", "content": content}]}
    facts = {"name": str(number), "expected": WANT, "asked": str(number), "medium": str(number)}
    return Question(number=number, prompt=prompt, **facts)  # type: ignore[arg-type]


def asked(control: Any, *questions: Question, modalities: str = "image audio") -> dict[str, Any]:
    processor: Any = SimpleNamespace(modalities=modalities.split())
    return dict(as_controls_ask(questions, TASK, processor, [control]))


def test_each_of_several_media_is_left_out_in_turn() -> None:
    two = question(image("x"), sound("y"))
    three = question(sound("1"), image("2"), image("3"), number=1)
    one = question(image("z"), number=2)
    found = asked("one_removed", two, three, one)
    assert {label: [each.number for each in some] for label, some in found.items()} == {
        "without audio": [0, 1],
        "without image": [0, 1],
        "without image 2": [1],
    }
    assert media_of(found["without image"][0].prompt) == [sound("y")]
    assert media_of(found["without image"][1].prompt) == [sound("1"), image("3")]
    assert media_of(found["without image 2"][0].prompt) == [sound("1"), image("2")]
    assert text_of(found["without audio"][0].prompt) == "What?"


def test_media_of_one_kind_are_counted() -> None:
    prompt = question(image("1"), sound("2"), image("3"), image("4")).prompt
    assert media_names(prompt) == ["image", "audio", "image 2", "image 3"]


def test_message_of_a_medium_alone_becomes_empty() -> None:
    alone = {
        "messages": [{"role": "user", "content": [image("x")]}, {"role": "user", "content": "?"}]
    }
    assert without_medium(alone, 0)["messages"][0] == {"role": "user", "content": ""}


def test_wrong_media_are_of_another_kind_wherever_the_model_has_one() -> None:
    found = asked("wrong_medium", question(image("x"), sound("y")), question(image("z"), number=1))
    kinds = [[part["type"] for part in media_of(one.prompt)] for one in found["wrong_medium"]]
    assert kinds == [["input_audio", "image_url"], ["input_audio"]]
    again = asked("wrong_medium", question(image("x"), sound("y")), question(image("z"), number=1))
    assert found == again
    alone = asked("wrong_medium", question(image("x")), modalities="image video")
    assert alone["wrong_medium"] == []


def test_a_film_is_no_other_kind_than_an_image() -> None:
    known = ["video", "imu", "image", "audio"]
    chosen = {name: other_kind(name, known) for name in [*known, "thermal"]}
    assert chosen == {
        "video": "audio",
        "imu": "image",
        "image": "audio",
        "audio": "image",
        "thermal": "image",
    }
    assert other_kind("audio", ["audio", "video"]) == "video"
    assert other_kind("image", ["image", "video"]) is None
    assert wrong_medium("imu", seed=[1])["type"] == "input_imu"


def test_tasks_without_controls_have_none() -> None:
    processor: Any = SimpleNamespace(modalities=["image"])
    plain = Task(name="t", records=[], has_controls=False)
    assert list(as_controls_ask([question(image("x"))], plain, processor, ["swapped"])) == []


def test_unknown_names_are_refused() -> None:
    assert check_known(["blank"], ["shift", "blur"]) == ("blur", "shift")
    with pytest.raises(DataError, match=r"unknown controls \['upside'\]; known: blank, swapped"):
        check_known(["upside"], [])
    with pytest.raises(DataError, match=r"unknown perturbations \['melt'\]; known: blur, crop"):
        check_known([], ["melt"])
