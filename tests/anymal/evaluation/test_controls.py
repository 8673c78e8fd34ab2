from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymal.evaluation.controls import choose_donors, media_of, prompt_of, text_of, with_media
from anymal.evaluation.scoring import Expected


def image(name: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": name}}


def prompt(text: str, *media: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*media, {"type": "text", "text": text}]}]}


def want(answer: str, task: str = "t") -> Expected:
    return Expected(task=task, answer=answer, choices=("a", "b", "c"), synonyms={})


def test_prompt_ends_with_the_question() -> None:
    question = prompt("What?", image("x"))
    answered = {"messages": [*question["messages"], {"role": "assistant", "content": "A."}]}
    assert prompt_of({**answered, "id": "1", "meta": {}}) == question
    assert prompt_of(question) == question


def test_a_mark_of_training_is_no_part_of_the_prompt() -> None:
    earlier = {"role": "assistant", "content": "A.", "loss": False}
    question = prompt("What?")["messages"]
    asked = prompt_of({"messages": [*question, earlier, *question]})
    assert asked["messages"] == [*question, {"role": "assistant", "content": "A."}, *question]


def test_media_and_words_are_told_apart() -> None:
    conversation = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            *prompt("What?", image("x"), image("y"))["messages"],
        ]
    }
    assert media_of(conversation) == [image("x"), image("y")]
    assert text_of(conversation) == "Be brief.\nWhat?"
    replaced = with_media(conversation, [image("1"), image("2")])
    assert media_of(replaced) == [image("1"), image("2")]
    assert text_of(replaced) == text_of(conversation)
    assert media_of(conversation) == [image("x"), image("y")], "the original is left as it was"


def test_another_medium_takes_the_place_on_the_clock() -> None:
    conversation = prompt("What?", {**image("x"), "group": "g"}, image("y"))
    replaced = with_media(conversation, [image("1"), {**image("2"), "group": "other"}])
    assert media_of(replaced) == [{**image("1"), "group": "g"}, image("2")]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=30))
def test_donors_have_other_answers_wherever_there_are_any(answers: list[str]) -> None:
    prompts = [prompt("What?", image(str(index))) for index in range(len(answers))]
    donors = choose_donors(prompts, [want(answer) for answer in answers])
    if len(set(answers)) == 1:
        assert donors == [None] * len(answers)
        return
    for answer, donor in zip(answers, donors, strict=True):
        assert donor is not None
        assert answers[donor] != answer
    if 2 * max(answers.count(answer) for answer in answers) <= len(answers):
        assert sorted(donor for donor in donors if donor is not None) == list(range(len(answers)))


def test_donors_come_from_the_same_question_first_then_the_same_kind() -> None:
    prompts = [
        prompt("Colour?", image("0")),
        prompt("Colour?", image("1")),
        prompt("Which colour?", image("2")),
        prompt("How many?", image("3")),
    ]
    expected = [want("a", "colour"), want("b", "colour"), want("a", "colour"), want("c", "count")]
    donors = choose_donors(prompts, expected)
    assert donors[:2] == [1, 0]
    assert donors[2] == 1
    assert donors[3] is not None


def test_donors_have_the_same_kinds_of_media() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    prompts = [prompt("?", image("0")), prompt("?", sound), prompt("?", image("2")), prompt("?")]
    donors = choose_donors(prompts, [want("a"), want("b"), want("c"), want("a")])
    assert donors == [2, None, 0, None]


def test_replacing_too_few_places_is_caught() -> None:
    with pytest.raises(AssertionError, match="2 media"):
        with_media(prompt("?", image("0")), [image("1"), image("2")])


def test_captions_differ_by_their_references() -> None:
    prompts = [prompt("Describe it.", image(str(index))) for index in range(3)]
    captions = [
        Expected(task="t", answer="", synonyms={}, references=(words,))
        for words in ("a dog", "a cat", "a dog")
    ]
    assert choose_donors(prompts, captions) == [1, 2, 1]
