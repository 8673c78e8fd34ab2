"""The loop that draws tokens, on a model that is a table."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from anymal.engine.sampling import Sampling
from anymal.generation import DecodeState, Greedy, Sampler, generate

STOP = 3


class Script:
    """A model whose likeliest tokens are written down."""

    stop_ids = frozenset({STOP})

    def __init__(self, *rows: list[int]) -> None:
        self.columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
        self.seen: list[list[int]] = []

    def prefill(self, batch: Any) -> DecodeState:
        return self.state(0)

    def step(self, ids: torch.Tensor, state: DecodeState) -> DecodeState:
        self.seen.append(ids.tolist())
        return self.state(len(self.seen))

    def state(self, number: int) -> DecodeState:
        logits = torch.nn.functional.one_hot(self.columns[number], 10).float()
        nothing = torch.zeros(0)
        return DecodeState(
            logits=logits, cache=None, mask=nothing, positions=nothing, is_padded=False
        )


def run(model: Script, sampling: Any) -> list[list[int | None]]:
    batch: Any = SimpleNamespace(names=["a"] * len(model.columns[0]))
    return list(generate(model, batch, sampling=sampling))


def test_stops_when_every_answer_has_ended() -> None:
    model = Script([5, 6, STOP, 7], [4, STOP, 8, 9])
    assert run(model, Greedy(max_tokens=9)) == [[5, 4], [6, None]]
    assert model.seen == [[5, 4], [6, STOP]]


def test_stops_at_the_limit_without_a_step_too_many() -> None:
    model = Script([5, 6, 7, 8])
    assert run(model, Greedy(max_tokens=2)) == [[5], [6]]
    assert model.seen == [[5]]


def test_an_answer_may_be_empty() -> None:
    assert run(Script([STOP]), Greedy(max_tokens=2)) == []


def test_the_engines_sampling_is_one() -> None:
    assert run(Script([5, STOP]), Sampling(max_tokens=4)) == [[5]]


LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


def draws(sampling: Sampling, number: int = 400) -> list[int]:
    sampler = Sampler(sampling)
    return [int(sampler(LOGITS)) for _ in range(number)]


def test_seed_makes_sampling_repeatable() -> None:
    sampling = Sampling(temperature=1.0, seed=7)
    assert draws(sampling, 20) == draws(sampling, 20)
    assert draws(sampling, 20) != draws(Sampling(temperature=1.0, seed=8), 20)


def test_sampling_does_not_touch_the_global_random_state() -> None:
    before = torch.get_rng_state()
    draws(Sampling(temperature=1.0, seed=7), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("top_p", "allowed"),
    [(1.0, {0, 1, 2, 3}), (0.9, {0, 1, 2}), (0.79, {0, 1}), (0.5, {0}), (0.01, {0})],
)
def test_top_p_keeps_the_likeliest(top_p: float, allowed: set[int]) -> None:
    assert set(draws(Sampling(temperature=1.0, top_p=top_p, seed=1))) == allowed


def test_temperature_flattens() -> None:
    cold, hot = (draws(Sampling(temperature=t, seed=1)).count(0) for t in (0.3, 2.0))
    assert cold > 280 > 200 > hot


def test_no_temperature_takes_the_likeliest() -> None:
    assert set(draws(Sampling(), 5)) == {0}
