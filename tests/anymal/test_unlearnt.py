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
    template = build_template(request.param, tokenizer)
    processor = Processor(tokenizer=tokenizer, template=template, modalities={}, max_tokens=300)

    def read(*unlearnt: int) -> tuple[list[int], list[int], Any]:
        sample = processor(read_record({"messages": messages(*unlearnt)}))
        return sample.ids.tolist(), sample.labels.tolist(), tokenizer

    return read


@pytest.mark.parametrize("unlearnt", [(0,), (1,), (2,), (0, 2)])
def test_no_label_falls_on_an_answer_that_is_not_learnt(
    labels: Any, unlearnt: tuple[int, ...]
) -> None:
    ids, all_labels, tokenizer = labels()
    some_ids, some_labels, _ = labels(*unlearnt)
    assert some_ids == ids  # the model reads the same
    # What is left is what was there, and it says the learnt answers alone.
    kept = [some in (IGNORED, label) for some, label in zip(some_labels, all_labels, strict=True)]
    assert all(kept)
    said = tokenizer.decode([label for label in some_labels if label != IGNORED])
    for number, answer in enumerate(ANSWERS):
        assert (answer in said) == (number not in unlearnt)
    # Nor on the token that ends it.
    learnt_runs = sum(
        one != IGNORED and before == IGNORED
        for before, one in zip([IGNORED, *some_labels], some_labels, strict=False)
    )
    assert learnt_runs == len(ANSWERS) - len(unlearnt)


def test_a_talk_without_a_learnt_answer_is_refused(labels: Any) -> None:
    with pytest.raises(ConversationError, match="no answer that is learnt"):
        labels(0, 1, 2)


def test_requests_take_no_such_mark() -> None:
    with pytest.raises(ValidationError, match="loss"):
        ChatCompletionRequest.model_validate({"model": "anymal", "messages": messages(0)})
