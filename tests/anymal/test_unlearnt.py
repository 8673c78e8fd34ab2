"""Answers that are marked `loss: false`: read, and not learnt."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import AutoTokenizer

from anymal.chat.shipped import format_names
from anymal.chat.template import build_template
from anymal.errors import ConversationError
from anymal.processor import Processor
from anymal.protocol.record import read_record
from anymal.protocol.requests import ChatCompletionRequest
from anymal.sample import IGNORED

ANSWERS = ("It is red.", "No, blue!", "Sure.")
QUESTIONS = ("What colour is it?", "Really?", "Quite?")


def messages(*unlearnt: int) -> list[dict[str, Any]]:
    """A talk of three answers, of which some are not learnt."""
    pairs = enumerate(zip(QUESTIONS, ANSWERS, strict=True))
    return [
        message
        for number, (asked, said) in pairs
        for message in (
            {"role": "user", "content": asked},
            {"role": "assistant", "content": said}
            | ({"loss": False} if number in unlearnt else {}),
        )
    ]


@pytest.fixture(name="labels", params=sorted(format_names()))
def _labels(request: pytest.FixtureRequest, checkpoints: SimpleNamespace) -> Any:
    """Gives the ids and labels of a talk, by each format."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    tokenizer.add_tokens(["<answer>", "<|endofchunk|>"], special_tokens=True)
    template = build_template(request.param, tokenizer)
    processor = Processor(tokenizer=tokenizer, template=template, modalities={}, max_tokens=300)

    def read(*unlearnt: int) -> tuple[list[int], list[int], Any]:
        sample = processor(read_record({"messages": messages(*unlearnt)}))
        return sample.ids.tolist(), sample.labels.tolist(), tokenizer

    return read


def test_no_label_falls_on_an_answer_that_is_not_learnt(labels: Any) -> None:
    ids, whole, tokenizer = labels()
    places = {}
    for number, answer in enumerate(ANSWERS):
        others = [other for other in range(len(ANSWERS)) if other != number]
        same_ids, some, _ = labels(*others)
        assert same_ids == ids  # the model reads the same
        places[number] = {place for place, label in enumerate(some) if label != IGNORED}
        assert all(some[place] == whole[place] for place in places[number])
        said = tokenizer.decode([ids[place] for place in sorted(places[number])])
        assert [other in said for other in ANSWERS] == [other == answer for other in ANSWERS]
    # Each label belongs to one answer, the token that ends it too.
    learnt = [place for some in places.values() for place in some]
    assert sorted(learnt) == [place for place, label in enumerate(whole) if label != IGNORED]
    _, two, _ = labels(1)
    assert {n for n, label in enumerate(two) if label != IGNORED} == places[0] | places[2]


def test_a_talk_without_a_learnt_answer_is_refused(labels: Any) -> None:
    with pytest.raises(ConversationError, match="no answer that is learnt"):
        labels(0, 1, 2)


def test_requests_take_no_such_mark() -> None:
    with pytest.raises(ValidationError, match="loss"):
        ChatCompletionRequest.model_validate({"model": "anymal", "messages": messages(0)})
