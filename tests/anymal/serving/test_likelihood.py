"""Likelihoods of the whole path are those of a plain forward pass, and of the training loss."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.engine.events import Likelihood, Likelihoods, TokenCounts
from anymal.serving.assistant import Assistant, start_assistant
from anymal.serving.shapes import likelihood_reply

Talk = Callable[..., dict[str, Any]]
ANSWERS = ["It is red.", "blue", "It is neither red nor blue, and nobody has seen it."]
CLOSE = 1e-4


@pytest.fixture(scope="module")
def assistant(assembled: Assembled) -> Iterator[Assistant]:
    with start_assistant(assembled, name="tiny-random") as assistant:
        yield assistant


def whole(record: dict[str, Any], answer: str) -> dict[str, Any]:
    said = {"role": "assistant", "content": answer}
    return {"messages": [*record["messages"], said]}


@torch.no_grad()
def test_words_alone_as_transformers(
    assistant: Assistant, checkpoints: SimpleNamespace, talk: Talk
) -> None:
    question = talk("What colour is it?")
    reply = assistant.likelihood(question["messages"], ANSWERS)
    model = AutoModelForCausalLM.from_pretrained(checkpoints.llm, dtype=torch.float32)
    for answer, found in zip(ANSWERS, reply.answers, strict=True):
        sample = assistant.processor(whole(question, answer))
        # Transformers shifts the labels itself, and gives the mean.
        loss = model(input_ids=sample.ids[None], labels=sample.labels[None]).loss
        assert found.tokens == int((sample.labels >= 0).sum())
        assert found.per_token == pytest.approx(-float(loss), abs=CLOSE)
        assert found.sum == pytest.approx(-float(loss) * found.tokens, abs=CLOSE * found.tokens)
    assert reply.model == "tiny-random"


@torch.no_grad()
def test_with_media_as_the_loss_of_a_padded_batch(
    assistant: Assistant, assembled: Assembled, talk: Talk
) -> None:
    """Answers of different lengths, side by side with padding, as in training."""
    question = talk("What colour is it?", images=[(255, 0, 0)], motions=1)
    reply = assistant.likelihood(question["messages"], ANSWERS)
    samples = [assistant.processor(whole(question, answer)) for answer in ANSWERS]
    batch = collate(samples, pad_id=assistant.processor.pad_id)
    losses = assembled.model.loss(batch).per_sample.tolist()
    assert [found.sum for found in reply.answers] == pytest.approx([-x for x in losses], abs=CLOSE)
    assert reply.usage.prompt_tokens_details["image_tokens"] == 32


def test_one_by_one_all_at_once_and_beside_others(assistant: Assistant, talk: Talk) -> None:
    questions = [
        talk("What colour is it?" + " Look." * number, images=[(0, 0, 50 * number)])["messages"]
        for number in range(4)
    ]
    together = [assistant.likelihood(question, ANSWERS) for question in questions]
    for question, reply in zip(questions, together, strict=True):
        for answer, found in zip(ANSWERS, reply.answers, strict=True):
            (alone,) = assistant.likelihood(question, [answer]).answers
            assert alone.sum == pytest.approx(found.sum, abs=CLOSE)
            assert alone.probability == 1
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda question: assistant.likelihood(question, ANSWERS), questions))
    for one, other in zip(together, beside, strict=True):
        assert [each.sum for each in one.answers] == pytest.approx(
            [each.sum for each in other.answers], abs=CLOSE
        )


def test_what_the_model_says_is_greedy(assistant: Assistant, talk: Talk) -> None:
    question = talk("What colour is it?", images=[(255, 0, 0)])["messages"]
    answer = assistant.chat(question, max_tokens=5, logprobs=0)
    assert answer.logprobs is not None
    reply = assistant.likelihood(question, [answer.text, "blue"], include_end=False)
    said, other = reply.answers
    if said.tokens == len(answer.logprobs):  # its text is spelled as it was said
        assert said.sum == pytest.approx(sum(each.logprob for each in answer.logprobs), abs=CLOSE)
        assert said.is_greedy
    assert not other.is_greedy


def test_probabilities_among_the_answers() -> None:
    """Sums -1 and -3, means -1 and -1.5: worked by hand."""
    found = Likelihoods(
        answers=(
            Likelihood(logprobs=(-1.0,), is_greedy=True),
            Likelihood(logprobs=(-1.0, -2.0), is_greedy=False),
        ),
        counts=TokenCounts(prompt=4, completion=3),
    )
    first, second = likelihood_reply(found, model="m").answers
    assert (first.sum, first.per_token, first.tokens) == (-1, -1, 1)
    assert (second.sum, second.per_token, second.tokens) == (-3, -1.5, 2)
    assert first.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert first.probability_per_token == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert first.probability + second.probability == pytest.approx(1)


def test_very_unlikely_answers_have_probabilities() -> None:
    rows = tuple(Likelihood(logprobs=(x,), is_greedy=False) for x in (-2000.0, -2001.0))
    found = Likelihoods(answers=rows, counts=TokenCounts(prompt=1, completion=2))
    first, second = likelihood_reply(found, model="m").answers
    assert first.probability / second.probability == pytest.approx(math.e)
