"""Formats of published systems: what they write, and which of it is learnt."""

from typing import Any

import pytest

from anymal.chat.given import GivenAnswers, blank_of
from anymal.chat.segments import MediaSegment, Role, TextSegment, Turn
from anymal.chat.template import build_template
from anymal.chat.tokens import IdRun, TextEncoder, runs_of
from anymal.errors import ConversationError, RecipeError
from tests.anymal.chat.test_template import targets, turns, written

EOC, ANSWER = "<|endofchunk|>", "<answer>"
SINGLE = "Below is an instruction that describes a task. "
TASK = "Write a response that appropriately completes the request.\n\n### Instruction:\n"


@pytest.fixture(name="chunks")
def _chunks(tokenizer: Any) -> Any:
    """A tokeniser with the marks of Otter and OpenFlamingo."""
    tokenizer.add_tokens([EOC, ANSWER, "<image>"], special_tokens=True)
    return tokenizer


def seen(words: str, number: int, prefix: str = "") -> Turn:
    """A question with a picture behind it."""
    medium = MediaSegment(modality="image", index=number, prefix=prefix)
    return Turn(role="user", content=(TextSegment(text=words), medium))


def said(words: str) -> Turn:
    return turns(("assistant", words))[0]


# --- Otter: from <answer> to <|endofchunk|> -----------------------------------------------------


def test_otter_writes_media_before_the_name_of_the_user(chunks: Any) -> None:
    template = build_template("otter", chunks, modalities=("image",))
    talk = [seen("Who? ", 0, prefix="<image>"), said("A cat."), *turns(("user", "Where?"))]
    assert written(template.render(talk, generate=True)) == (
        "<s><image>(image)User:Who? GPT:<answer>A cat.<|endofchunk|>User:Where? GPT:<answer>"
    )
    assert (template.end_of_turn, template.stop) == (EOC, "")


def test_otter_learns_every_answer_with_its_end_and_the_end_of_the_text(chunks: Any) -> None:
    """B1 of the methods: of `[bos, image, U, answer, A1, A2, eoc, image, U, answer, A3, eoc, eos]`
    the labels are 4 to 6, 10, 11 and 12."""
    template = build_template("otter", chunks, modalities=("image",))
    talk = [seen("Who?", 0), said("A cat."), seen("Who?", 1), said("Dogs.")]
    runs = runs_of(template.render(talk, generate=False), TextEncoder(chunks), enough=999)
    media = [run for run in runs if not isinstance(run, IdRun)]
    learnt = [
        chunks.convert_ids_to_tokens(run.ids) if isinstance(run, IdRun) and run.is_target else None
        for run in runs
    ]
    answers = [tokens for tokens in learnt if tokens]
    spoken = [tokens for tokens in answers if tokens[0] not in (EOC, "</s>")]
    assert len(media) == 2
    assert [chunks.convert_tokens_to_string(each).strip() for each in spoken] == ["A cat.", "Dogs."]
    assert [each for each in answers if each not in spoken] == [[EOC], [EOC], ["</s>"]]
    assert learnt[-1] == ["</s>"]


def test_otter_grades_an_answer_up_to_the_token_that_it_stops_at(chunks: Any) -> None:
    template = build_template("otter", chunks)
    blank = blank_of(template, turns(("user", "Who?")), GivenAnswers(texts=("Dogs.",)))
    [ids] = blank.filled(TextEncoder(chunks), used=0, most=99)
    assert chunks.decode(ids).endswith(f"Dogs.{EOC}")


def test_otter_joins_two_questions_in_a_row(chunks: Any) -> None:
    segments = build_template("otter", chunks).render(
        turns(("user", "This."), ("user", "Who?")), generate=True
    )
    assert written(segments) == "<s>User:This.\n\nWho? GPT:<answer>"


# --- Flamingo: from a picture to the end of its chunk -------------------------------------------


def test_flamingo_learns_the_text_of_each_chunk(chunks: Any) -> None:
    template = build_template("flamingo", chunks, modalities=("image",))
    talk = [seen("Before.", 0, prefix="<image>"), said("A cat."), seen("", 1), said("A dog.")]
    segments = template.render(talk, generate=False)
    assert written(segments) == f"<s>Before.<image>(image)A cat.{EOC}(image)A dog.{EOC}</s>"
    assert targets(segments) == f"A cat.{EOC}A dog.{EOC}"
    assert template.end_of_turn == EOC


# --- captions: `plain`, in test_formats ---------------------------------------------------------

# --- answers ------------------------------------------------------------------------------------


def test_instructblip_begins_the_text_after_the_picture(tokenizer: Any) -> None:
    """As `InstructBlipProcessor`: soft tokens, then what the tokeniser makes of the words."""
    template = build_template("instructblip", tokenizer, modalities=("image",))
    segments = template.render([seen("Who is it?", 0), said("A cat.")], generate=False)
    assert written(segments) == "(image)<s>Who is it? A cat.</s>"
    assert targets(segments) == " A cat.</s>"


def test_minigpt4_stops_at_the_mark_of_the_next_turn(tokenizer: Any) -> None:
    template = build_template("minigpt4", tokenizer, modalities=("image",))
    medium = MediaSegment(modality="image", index=0, prefix="<Img>", suffix="</Img> ")
    asked = Turn(role="user", content=(medium, TextSegment(text="Describe it.")))
    segments = template.render([asked, said("A cat.")], generate=False)
    assert written(segments) == (
        "<s>###Human: <Img>(image)</Img> Describe it. ###Assistant: A cat.###"
    )
    assert targets(segments) == "A cat.###"
    assert (template.stop, template.end_of_turn) == ("###", "</s>")
    again = template.render([asked, said("A cat."), *turns(("user", "And?"))], generate=True)
    assert written(again).endswith("A cat.###Human: And? ###Assistant: ")


def test_alpaca_writes_an_instruction_alone_or_with_its_input(tokenizer: Any) -> None:
    """After the two prompts of stanford_alpaca's train.py."""
    template = build_template("alpaca", tokenizer)
    alone = template.render(turns(("user", "Sing.")), generate=True)
    assert written(alone) == f"<s>{SINGLE}{TASK}Sing.\n\n### Response:"
    talk = turns(("user", "Add."), ("user", "1, 2"), ("assistant", "3"))
    segments = template.render(talk, generate=False)
    assert written(segments) == (
        "<s>Below is an instruction that describes a task, paired with an input that provides "
        f"further context. {TASK}Add.\n\n### Input:\n1, 2\n\n### Response:3</s>"
    )
    assert targets(segments) == "3</s>"


@pytest.mark.parametrize(
    "roles", [("assistant",), ("user", "user", "user"), ("user", "assistant", "assistant")]
)
def test_alpaca_refuses_other_orders(tokenizer: Any, roles: tuple[Role, ...]) -> None:
    template = build_template("alpaca", tokenizer)
    with pytest.raises(ConversationError, match="an instruction, perhaps its input, and an answer"):
        template.write(turns(*((role, "a") for role in roles)), False)


@pytest.mark.parametrize("name", ["otter", "flamingo"])
def test_marks_that_would_be_spelled_out_are_refused(tokenizer: Any, name: str) -> None:
    with pytest.raises(RecipeError, match=r"writes .*'<\|endofchunk\|>', for which the tokenizer"):
        build_template(name, tokenizer)


def test_words_without_their_media_are_refused(chunks: Any, monkeypatch: Any) -> None:
    """A format may leave the words of a turn out, and never its media."""
    source = "{% for m in messages %}{{ words[loop.index0] }}</s>{% endfor %}"
    monkeypatch.setattr("anymal.chat.template.format_source", lambda _: source)
    with pytest.raises(RecipeError, match="drops, repeats or reorders"):
        build_template("otter", chunks)
