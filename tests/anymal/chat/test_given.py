"""The ids of given answers are those that training teaches after the conversation."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from anymal.chat.given import GivenAnswers
from anymal.chat.template import build_template
from anymal.errors import ConversationError, TooLong
from anymal.processor import ModalityInput, Processor
from anymal.sample import IGNORED

Talk = Callable[..., dict[str, Any]]
LEADS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if loop.last and m.role == 'assistant' %}{{ 'Well, ' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Nothing after an answer: in training, the end of the text closes the last one.
OPEN = (
    "{{ bos_token }}{% for m in messages %}{{ m.role + ': ' + m.content + '\n' if m.role == 'user' "
    "else ' ' + m.content }}{% endfor %}{% if add_generation_prompt %}{{ ' ' }}{% endif %}"
)
TEMPLATES = {"leads": LEADS, "open": OPEN}
TEXTS = ("It is red.", " blue \n", "[INST] one </s> two")
RED = (255, 0, 0)


def make_processor(
    checkpoints: SimpleNamespace, template: str, *, adds_space: bool = False, max_tokens: int = 300
) -> Processor:
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    if adds_space:
        from tokenizers import pre_tokenizers

        spaced = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.backend_tokenizer.pre_tokenizer = spaced
    tokenizer.chat_template = TEMPLATES.get(template)
    name = "tokenizer" if template in TEMPLATES else template
    return Processor(
        tokenizer=tokenizer,
        template=build_template(name, tokenizer),
        modalities={
            "image": ModalityInput(
                preprocessor=lambda signal: {"x": torch.zeros(1, 1)}, num_tokens=3
            )
        },
        max_tokens=max_tokens,
    )


def talks(talk: Talk) -> list[dict[str, Any]]:
    """One turn, one that ends with its medium, and a long conversation."""
    short = talk("What colour is it?", images=[RED])
    ends = talk("What colour is it?", images=[RED])
    ends["messages"][0]["content"].reverse()
    history = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "It is red."},
    ]
    return [short, ends, {"messages": [*history, *short["messages"]]}]


@pytest.mark.parametrize("adds_space", [False, True], ids=["bytes", "spaced"])
@pytest.mark.parametrize("template", ["llama2", "vicuna", "chatml", "base", *TEMPLATES])
def test_ids_are_those_of_training(
    checkpoints: SimpleNamespace, talk: Talk, template: str, adds_space: bool
) -> None:
    processor = make_processor(checkpoints, template, adds_space=adds_space)
    for record in talks(talk):
        given = processor(record, generate=True, answers=GivenAnswers(texts=TEXTS))
        for text, ids in zip(TEXTS, given.answers, strict=True):
            said = [{"role": "assistant", "content": text}]
            whole = processor({"messages": [*record["messages"], *said]})
            length = len(given.ids) + len(ids)
            assert whole.ids[:length].tolist() == [*given.ids.tolist(), *ids]
            assert whole.labels[len(given.ids) : length].tolist() == list(ids)
            assert (whole.labels[length:] == IGNORED).all()
        assert (given.labels == IGNORED).all()
        assert torch.equal(given.ids, processor(record, generate=True).ids)


@pytest.mark.parametrize(
    ("template", "words", "end"),
    [
        ("llama2", " It is red.", " </s>"),
        ("vicuna", " It is red.", "</s>"),
        ("chatml", "It is red.", "<|im_end|>"),
        ("open", "It is red.", "</s>"),
        ("leads", "Well, It is red.", "<|im_end|>"),
    ],
)
def test_the_end_may_be_left_out(
    checkpoints: SimpleNamespace, talk: Talk, template: str, words: str, end: str
) -> None:
    processor = make_processor(checkpoints, template)
    for with_end, expected in ((True, words + end), (False, words)):
        answers = GivenAnswers(texts=("It is red.",), with_end=with_end)
        given = processor(talk("What?"), generate=True, answers=answers)
        assert processor.tokenizer.decode(given.answers[0]) == expected


def test_an_empty_answer_is_its_end(checkpoints: SimpleNamespace, talk: Talk) -> None:
    processor = make_processor(checkpoints, "chatml")
    given = processor(talk("What?"), generate=True, answers=GivenAnswers(texts=("", "red")))
    assert processor.tokenizer.decode(given.answers[0]) == "<|im_end|>"
    without = GivenAnswers(texts=("red", "  "), with_end=False)
    with pytest.raises(ConversationError, match="answer 1 has no words") as caught:
        processor(talk("What?"), generate=True, answers=without)
    assert caught.value.place == "answers.1"


def test_answers_fit_into_the_context(checkpoints: SimpleNamespace, talk: Talk) -> None:
    processor = make_processor(checkpoints, "chatml", max_tokens=60)
    length = len(processor(talk("What?"), generate=True).ids)
    room = 60 - length
    fits = "1" * (room - 1)  # and the end
    given = processor(talk("What?"), generate=True, answers=GivenAnswers(texts=(fits,)))
    assert len(given.answers[0]) == room
    with pytest.raises(TooLong, match=f"answer 1 takes {room + 1} tokens; .* room for {room}") as e:
        processor(talk("What?"), generate=True, answers=GivenAnswers(texts=("red", fits + "1")))
    assert e.value.place == "answers.1"
    with pytest.raises(TooLong, match="together; 60 are taken at a time") as e:
        processor(talk("What?"), generate=True, answers=GivenAnswers(texts=("123456789",) * 7))
    assert e.value.place == "answers"
