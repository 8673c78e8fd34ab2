"""Numbers that are read at the end of prompts: those of a plain forward pass."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from anymal.engine.events import Failed, Score
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.engine.score import ToScore
from anymal.errors import EngineError


@pytest.fixture(scope="module")
def prompts(soft: Callable[..., EmbeddingSpan]) -> list[Prompt]:
    """Shorter than a block, as long as some, and with media."""
    source = random.Random(4)

    def words(number: int) -> TokenSpan:
        return TokenSpan(ids=tuple(source.randrange(61) for _ in range(number)))

    spans = ((words(1),), (words(16),), (words(50),), (words(3), soft(32, 1), words(9)))
    return [Prompt(spans=each) for each in spans]


def read(hidden: Tensor) -> Tensor:
    """Some number of each row."""
    return hidden.double() @ torch.linspace(-1, 1, hidden.shape[1], dtype=torch.float64)


@torch.no_grad()
def plain(bench: Any, prompt: Prompt) -> float:
    """The oracle: transformers' layers over the prompt, nothing cached or packed."""
    rows = bench.rows(prompt)[None]
    hidden = bench.llm.model.model(inputs_embeds=rows, use_cache=False).last_hidden_state
    return float(read(hidden[0, -1:])[0])


@pytest.mark.parametrize(
    ("is_packed", "budget"),
    [(True, {}), (True, {"step_tokens": 7}), (False, {"step_tokens": 13})],
    ids=["whole", "in pieces", "unpacked"],
)
def test_as_a_plain_forward_pass(
    llama: Any, prompts: list[Prompt], is_packed: bool, budget: dict[str, int]
) -> None:
    engine = llama.engine(llama.runner(packed=is_packed), **budget)
    for prompt in prompts[:3] * 2 if not is_packed else prompts * 2:  # once more from the cache
        (event,) = engine.submit(prompt, ToScore(read=read))
        assert isinstance(event, Score)
        assert event.value == pytest.approx(plain(llama, prompt), abs=1e-6)
        assert event.counts.prompt == len(prompt)
        assert event.counts.completion == 0
    engine.close()


def test_beside_answers_that_grow(llama: Any, prompts: list[Prompt]) -> None:
    engine = llama.engine()
    said = [engine.submit(prompt, Sampling(max_tokens=12)) for prompt in prompts]
    scores = [engine.submit(prompt, ToScore(read=read)) for prompt in prompts]
    for prompt, score in zip(prompts, scores, strict=True):
        assert next(score).value == pytest.approx(plain(llama, prompt), abs=1e-6)
    for prompt, events in zip(prompts, said, strict=True):
        text = "".join(event.text for event in events if hasattr(event, "text"))
        assert [int(word) for word in text.split()] == llama.expected(prompt, 12)
    engine.close()


def test_a_number_that_is_none_fails_alone(llama: Any, prompts: list[Prompt]) -> None:
    engine, found = llama.engine(), []
    engine.start(prompts[0], ToScore(read=lambda hidden: hidden[:, 0] / 0), found.append)
    assert next(engine.submit(prompts[0], ToScore(read=read))).value == pytest.approx(
        plain(llama, prompts[0]), abs=1e-6
    )
    engine.close()
    assert isinstance(found[0], Failed)
    assert isinstance(found[0].error, EngineError)
