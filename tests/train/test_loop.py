from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from train.errors import TrainingError
from train.loop import held_out, optimise


@dataclass
class FakeBatch:
    """Numbers to fit; a sample's targets are its entries that are not zero."""

    values: Tensor  # [B, S]
    names: tuple[str, ...]

    @property
    def num_run(self) -> int:
        return self.values.numel()

    def to(self, device: torch.device) -> "FakeBatch":
        return self


@dataclass
class FakeLoss:
    total: Tensor
    count: int
    per_sample: Tensor
    measures: dict[str, Tensor] = field(default_factory=dict)


class FakeModel(nn.Module):
    """Squares the distance of one weight to every target."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.5, -0.25]]))

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def loss(self, batch: FakeBatch) -> FakeLoss:
        targets = batch.values != 0
        errors = ((self.weight.sum() - batch.values) ** 2 * self.weight[0, 0]) * targets
        per_sample = errors.sum(dim=1)
        return FakeLoss(per_sample.sum(), int(targets.sum()), per_sample)


def batch(*rows: Sequence[float], first: int = 0) -> FakeBatch:
    names = tuple(f"data.jsonl:{first + i + 1}" for i in range(len(rows)))
    return FakeBatch(torch.tensor(rows), names)


ROWS = ([1.0, 2.0, 3.0], [4.0, 0.0, 0.0])  # three targets, then one


def step(batches: list[FakeBatch], clip_norm: float | None = None):
    model = FakeModel()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    return optimise(model, optimiser, batches, clip_norm=clip_norm), model


def test_two_micro_batches_of_one_equal_one_of_two() -> None:
    together, model = step([batch(*ROWS)])
    apart, other = step([batch(ROWS[0]), batch(ROWS[1])])
    assert together.loss == pytest.approx(apart.loss, rel=1e-6)
    assert (together.targets, apart.targets) == (4, 4)
    assert (together.tokens, apart.tokens) == (6, 6)
    torch.testing.assert_close(model.weight, other.weight, rtol=1e-6, atol=0)


def test_loss_is_the_mean_over_tokens_not_over_samples() -> None:
    result, _ = step([batch(ROWS[0]), batch(ROWS[1])])
    errors = [(0.25 - target) ** 2 * 0.5 for target in (1, 2, 3, 4)]
    assert result.loss == pytest.approx(sum(errors) / 4)


def test_clipping_limits_the_step_and_reports_the_norm_before() -> None:
    free, unclipped = step([batch(*ROWS)])
    limited, clipped = step([batch(*ROWS)], clip_norm=0.01)
    assert limited.grad_norm == pytest.approx(free.grad_norm)
    start = FakeModel().weight.detach()
    assert float((clipped.weight.detach() - start).norm()) == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert float((unclipped.weight.detach() - start).norm()) == pytest.approx(
        0.1 * free.grad_norm, rel=1e-4
    )


def test_a_loss_that_is_not_finite_names_its_sample_and_changes_nothing() -> None:
    model = FakeModel()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.detach().clone()
    bad = batch([1.0, 2.0], [float("nan"), 1.0], first=4)
    with pytest.raises(TrainingError, match=r"loss of data\.jsonl:6 is nan"):
        optimise(model, optimiser, [batch([1.0, 2.0]), bad], clip_norm=1.0)
    assert torch.equal(model.weight, before)


def test_a_gradient_that_is_not_finite_stops_before_the_step() -> None:
    model = FakeModel()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = model.weight.detach().clone()
    with pytest.raises(TrainingError, match=r"gradient is not finite.*data\.jsonl:1"):
        optimise(model, optimiser, [batch(ROWS[0])], clip_norm=1.0)
    assert torch.equal(model.weight, before)


def test_heldout_loss_weighs_tokens_and_leaves_the_mode() -> None:
    model = FakeModel().train()
    whole = held_out(model, [batch(*ROWS)]).loss
    assert whole == pytest.approx(held_out(model, [batch(ROWS[0]), batch(ROWS[1])]).loss)
    assert model.training
    assert model.weight.grad is None
