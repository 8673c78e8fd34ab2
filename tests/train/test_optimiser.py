import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from anymal.recipe.schema import StageRecipe
from anymal.recipe.trains import TrainRule
from train.errors import TrainingError
from train.optimiser import build_optimiser as build
from train.optimiser import (
    load_optimiser_state,
    optimiser_state,
    rate_factor,
    set_rate,
)


class Parts(nn.Module):
    """One aligner and one thing that is not."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.aligners = nn.ModuleDict({"image": nn.Linear(width, width)})
        self.lora = nn.Linear(width, width, bias=False)
        self.frozen = nn.Linear(width, width).requires_grad_(False)


def stage(**changes: object) -> StageRecipe:
    fields = {
        "name": "s",
        "kind": "instruct",
        "data": [{"source": "a:b"}],
        "steps": 10,
        "batch_size": 2,
        "lr": 1e-2,
        "lora_lr": 1e-3,
        "weight_decay": 0.1,
    }
    return StageRecipe.model_validate({**fields, **changes})


def build_optimiser(model: nn.Module, stage: StageRecipe) -> torch.optim.Optimizer:
    """With the rules of `kind: instruct`; `lora` stands for what has the names of LoRA."""
    rules = [TrainRule(what="aligners.*", lr=stage.lr), TrainRule(what="lora", lr=stage.lora_lr)]
    return build(model, stage, rules)


def take_steps(model: nn.Module, optimiser: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimiser.zero_grad()
        for number, parameter in enumerate(p for p in model.parameters() if p.requires_grad):
            parameter.grad = torch.sin(parameter.detach() * (number + 3))
        optimiser.step()


def test_groups_have_their_rates_and_spare_vectors_from_decay() -> None:
    model = Parts()
    groups = build_optimiser(model, stage()).param_groups
    found = {
        (group["peak_lr"], group["weight_decay"]): [p.shape for p in group["params"]]
        for group in groups
    }
    assert found == {
        (1e-2, 0.1): [(4, 4)],
        (1e-2, 0.0): [(4,)],
        (1e-3, 0.1): [(4, 4)],
    }


def test_lora_follows_lr_where_it_has_no_rate_of_its_own() -> None:
    groups = build_optimiser(Parts(), stage(lora_lr=None)).param_groups
    assert {group["peak_lr"] for group in groups} == {1e-2}


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing trains in stage 's'"):
        build_optimiser(Parts().requires_grad_(False), stage())


def test_rate_warms_up_peaks_and_falls_to_its_floor() -> None:
    rates = [rate_factor(i, steps=100, warmup_steps=10, min_ratio=0.1) for i in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(rates) == rates[10] == 1.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert rate_factor(0, steps=5, warmup_steps=0, min_ratio=0.0) == 1.0


def test_set_rate_scales_every_group() -> None:
    optimiser = build_optimiser(Parts(), stage())
    assert set_rate(optimiser, 0.5) == (5e-3, None)
    assert {group["lr"] for group in optimiser.param_groups} == {5e-3, 5e-4}


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize(("kind", "width"), [("adamw", 4), ("paged_adamw_8bit", 72)])
def test_a_restored_optimiser_goes_on_exactly(kind: str, width: int) -> None:
    torch.manual_seed(1)
    straight = Parts(width)
    optimiser = build_optimiser(straight, stage(optimizer=kind))
    take_steps(straight, optimiser, 3)
    resumed = Parts(width)
    resumed.load_state_dict(straight.state_dict())
    other = build_optimiser(resumed, stage(optimizer=kind))
    state = optimiser_state(optimiser, straight)
    load_optimiser_state(other, resumed, state)
    take_steps(straight, optimiser, 4)
    take_steps(resumed, other, 4)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    if kind == "paged_adamw_8bit":
        assert state.tensors["lora.weight/state1"].dtype == torch.uint8
    assert all(not math.isnan(float(tensor.float().sum())) for tensor in state.tensors.values())


def test_a_state_of_something_else_is_refused() -> None:
    model = Parts()
    optimiser = build_optimiser(model, stage())
    take_steps(model, optimiser, 1)
    state = optimiser_state(optimiser, model)
    model.lora.requires_grad_(False)
    with pytest.raises(TrainingError, match=r"state of 'lora\.weight'"):
        load_optimiser_state(build_optimiser(model, stage()), model, state)
