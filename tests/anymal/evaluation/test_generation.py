"""The loop of a static batch, on a model that is a table."""

from types import SimpleNamespace
from typing import Any

import torch

from anymal.engine.sampling import Sampling
from anymal.evaluation.generation import DecodeState, generate

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
    assert run(model, Sampling(max_tokens=9)) == [[5, 4], [6, None]]
    assert model.seen == [[5, 4], [6, STOP]]


def test_stops_at_the_limit_without_a_step_too_many() -> None:
    model = Script([5, 6, 7, 8])
    assert run(model, Sampling(max_tokens=2)) == [[5], [6]]
    assert model.seen == [[5]]


def test_an_answer_may_be_empty() -> None:
    assert run(Script([STOP]), Sampling(max_tokens=2)) == []
