"""Answers to a fixed set of prompts: those of transformers, and always the same."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.engine.static import Said, answer_all
from anymal.errors import EngineError

BUDGET = Budget(max_running=3, step_tokens=64, beside_decode=64)


@pytest.fixture(scope="module")
def prompts(soft: Callable[..., EmbeddingSpan]) -> list[Prompt]:
    source = random.Random(5)

    def words(number: int) -> TokenSpan:
        return TokenSpan(ids=tuple(source.randrange(61) for _ in range(number)))

    spans = ((words(1),), (words(40),), (words(3), soft(32, 1), words(9)), (words(16),))
    return [Prompt(spans=each) for each in spans]


def greedy(number: int) -> list[Sampling]:
    return [Sampling(max_tokens=12)] * number


def test_as_transformers(llama: Any, prompts: list[Prompt]) -> None:
    said = answer_all(llama.runner(), prompts, greedy(len(prompts)), budget=BUDGET)
    for prompt, own in zip(prompts, said, strict=True):
        assert own == Said(ids=tuple(llama.expected(prompt, 12)), has_ended=False)


def test_an_answer_holds_the_token_that_ends_it(llama: Any, prompts: list[Prompt]) -> None:
    ids = llama.expected(prompts[1], 12)
    runner = llama.runner(stop_ids={ids[4]})
    (said,) = answer_all(runner, prompts[1:2], greedy(1), budget=BUDGET)
    assert said == Said(ids=tuple(ids[: ids.index(ids[4]) + 1]), has_ended=True)


def test_seeds_give_each_answer_its_own_words_again(llama: Any, prompts: list[Prompt]) -> None:
    drawn = [Sampling(max_tokens=12, temperature=1.0, seed=seed) for seed in range(8)]
    asked = [prompts[1]] * 8
    said = [answer_all(llama.runner(), asked, drawn, budget=BUDGET) for _ in range(2)]
    assert said[0] == said[1]
    assert len({own.ids for own in said[0]}) > 4


def test_a_prompt_that_cannot_be_read_is_an_error(llama: Any) -> None:
    wrong = Prompt(spans=(TokenSpan(ids=(999,)),))
    with pytest.raises(EngineError, match="allowed: 0 to 60"):
        answer_all(llama.runner(), [wrong], greedy(1), budget=BUDGET)
