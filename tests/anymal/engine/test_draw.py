"""Tokens are drawn as transformers would draw them, and as OpenAI describes its penalties."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from anymal.engine.draw import TokenDrawer, draw_all, score
from anymal.engine.prompt import Prompt, TokenSpan
from anymal.engine.reply import Drawn
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def random_logits() -> Tensor:
    return torch.randn(200, generator=torch.Generator().manual_seed(3)) * 3


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 5},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 0.9, "top_k": 40, "top_p": 0.6},
        {"temperature": 1.0, "min_p": 0.05},
        {"temperature": 1.5, "top_k": 50, "top_p": 0.95, "min_p": 0.2},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "repetition_penalty": 1.7, "top_p": 0.9},
        {"temperature": 1.0, "repetition_penalty": 0.6, "top_k": 300},
    ],
)
def test_chances_are_those_of_transformers(options: dict[str, Any]) -> None:
    logits, prompt = random_logits(), [3, 8, 3, 150]
    expected, ids = logits[None], torch.tensor([prompt])
    processors: dict[str, Any] = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor,
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
    }
    for name, processor in processors.items():
        if name in options:
            expected = processor(options[name])(ids, expected)
    chances = TokenDrawer(Sampling(**options), prompt_ids=prompt).chances(logits)
    torch.testing.assert_close(chances, expected[0].softmax(dim=-1))


def test_repetition_penalty_counts_the_answer_too() -> None:
    drawer = TokenDrawer(Sampling(repetition_penalty=9))
    assert [drawer(torch.tensor([3.0, 2.0, 1.0])) for _ in range(3)] == [0, 1, 2]


def test_presence_and_frequency_are_taken_off_what_was_said() -> None:
    options: Any = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "temperature": 1.0}
    drawer = TokenDrawer(Sampling(**options), prompt_ids=[1, 1, 1])
    certain = torch.full((4,), -100.0)
    certain[2] = 100.0
    for times in range(3):
        expected = LOGITS.clone()
        if times:
            expected[2] -= 0.5 + 0.25 * times
        torch.testing.assert_close(drawer.chances(LOGITS), expected.softmax(dim=-1))
        assert drawer(certain) == 2


def test_penalties_do_not_change_the_logits_they_are_given() -> None:
    logits = random_logits()
    before = logits.clone()
    drawer = TokenDrawer(Sampling(presence_penalty=1.0, repetition_penalty=2.0), prompt_ids=[1, 2])
    for _ in range(3):
        drawer(logits)
    assert torch.equal(logits, before)


def draws(sampling: Sampling, number: int = 400) -> list[int]:
    drawer = TokenDrawer(sampling)
    return [drawer(LOGITS) for _ in range(number)]


def test_seed_makes_sampling_repeatable() -> None:
    sampling = Sampling(temperature=1.0, seed=7)
    assert draws(sampling, 20) == draws(sampling, 20)
    assert draws(sampling, 20) != draws(Sampling(temperature=1.0, seed=8), 20)


def test_sampling_does_not_touch_the_global_random_state() -> None:
    before = torch.get_rng_state()
    draws(Sampling(temperature=1.0), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("top_p", "allowed"),
    [
        *((1.0, {0, 1, 2, 3}), (0.9, {0, 1, 2}), (0.79, {0, 1}), (0.5, {0}), (0.01, {0})),
        *((1e-9, {0}), (5e-324, {0}), (0.0, {0})),
    ],
)
def test_top_p_keeps_the_likeliest(top_p: float, allowed: set[int]) -> None:
    assert set(draws(Sampling(temperature=1.0, top_p=top_p, seed=1))) == allowed


LARGEST = float(torch.finfo(torch.float32).max)
EXTREMES = [
    [1.0, 0.0, -1.0],
    [LARGEST, LARGEST, -LARGEST],
    [-LARGEST, -LARGEST, -LARGEST],
    [LARGEST, -math.inf, -math.inf],
    [1e-45, 0.0, -1e-45],
]


@pytest.mark.parametrize("scores", EXTREMES)
@pytest.mark.parametrize("temperature", [0.0, 1e-9, 2.0])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 10.0])
@pytest.mark.parametrize(
    "share", [{}, {"top_p": 5e-324, "min_p": 5e-324}, {"min_p": 1, "top_k": 1}]
)
def test_no_allowed_value_breaks_a_draw(
    scores: list[float], temperature: float, penalty: float, share: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"presence_penalty": 2, "frequency_penalty": -2, **share}
    sampling = Sampling(temperature=temperature, repetition_penalty=penalty, seed=1, **options)
    drawer = TokenDrawer(sampling, prompt_ids=[0, 1, 2])
    for _ in range(5):
        assert drawer(torch.tensor(scores)) in (0, 1, 2)
        if temperature:
            chances = drawer.chances(torch.tensor(scores))
            assert chances.sum() == pytest.approx(1)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_scores_that_are_not_finite_end_that_answer_alone(broken: float) -> None:
    prompt = Prompt(spans=(TokenSpan(ids=(1, 2)),))
    sampling = Sampling(temperature=1.0, repetition_penalty=2.0)
    requests: Any = [
        SimpleNamespace(prompt=prompt, sampling=sampling, drawer=None) for _ in range(3)
    ]
    logits = torch.zeros(3, 4)
    logits[1, 2] = broken
    logits[2] = -math.inf
    first, *others = draw_all(requests, logits, stop_ids=())
    assert isinstance(first, Drawn)
    assert [type(each) for each in others] == [EngineError, EngineError]


def test_temperature_flattens() -> None:
    cold, hot = (draws(Sampling(temperature=t, seed=1)).count(0) for t in (0.3, 2.0))
    assert cold > 280 > 200 > hot


def test_score_tells_the_likeliest_first() -> None:
    logprob, top = score(LOGITS + 5, 2, num_top=2)
    assert logprob == pytest.approx(float(LOGITS[2]), abs=1e-6)
    assert [each.id for each in top] == [0, 1]
    assert top[0].logprob == pytest.approx(float(LOGITS[0]), abs=1e-6)
