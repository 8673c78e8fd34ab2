"""The weights of a start stand in for those that train, and leave no trace."""

from collections.abc import Callable

import pytest
import torch

from anymal.assemble import build
from anymal.collate import Batch, collate
from anymal.model import AnyMAL
from anymal.objectives.preference import scores
from anymal.recipe.schema import ModelRecipe
from tests.pairs import check, compares, record
from tests.tiny import talk
from train.data.pairs import samples_of
from train.start_weights import AtStart, start_weights


@pytest.fixture
def model_and_batch(model_recipe: Callable[..., ModelRecipe]) -> tuple[AnyMAL, Batch]:
    torch.manual_seed(0)
    assembled = build(model_recipe(lora={"r": 2, "dropout": 0.0}))
    assembled.model.set_trainable(["aligners.*", "llm.lora"])
    samples = samples_of(check(record(talk)), compares("dpo"), assembled.processor, base_dir=None)
    return assembled.model, collate(samples, pad_id=0)


def moved(model: AnyMAL) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)


def test_scores_are_those_of_the_start(model_and_batch: tuple[AnyMAL, Batch]) -> None:
    model, batch = model_and_batch
    moved(model)  # so that LoRA is not the model without it
    at_start, then = AtStart(start_weights(model)), scores(model, batch)
    moved(model)
    now = scores(model, batch)
    assert not torch.allclose(now, then, atol=1e-3)
    with torch.no_grad(), at_start(model):
        assert torch.equal(scores(model, batch), then)
    assert torch.equal(scores(model, batch), now)
    with pytest.raises(ZeroDivisionError), at_start(model):
        _ = 1 / 0
    assert torch.equal(scores(model, batch), now)


@pytest.mark.parametrize("with_lora", [True, False])
@pytest.mark.parametrize("recomputes", [True, False])
def test_a_graph_that_is_alive_keeps_its_gradients(
    model_and_batch: tuple[AnyMAL, Batch], with_lora: bool, recomputes: bool
) -> None:
    model, batch = model_and_batch
    at_start = AtStart(start_weights(model), with_lora=with_lora)
    moved(model)
    model.use_checkpointing(recomputes)
    model.train()
    parameters = [each for each in model.parameters() if each.requires_grad]
    expected = torch.autograd.grad(scores(model, batch).sum(), parameters, allow_unused=True)
    own = scores(model, batch).sum()
    with torch.no_grad(), at_start(model):
        scores(model, batch)
    found = torch.autograd.grad(own, parameters, allow_unused=True)
    assert model.training
    assert all(parameter.requires_grad for parameter in parameters)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_without_lora_is_the_model_before_it(model_and_batch: tuple[AnyMAL, Batch]) -> None:
    model, batch = model_and_batch
    fresh = scores(model, batch)  # LoRA changes nothing at first
    for parameter in model.llm.lora_parameters().values():
        parameter.data += 0.05 * torch.randn_like(parameter)
    at_start = AtStart(start_weights(model), with_lora=False)
    assert not torch.allclose(scores(model, batch), fresh, atol=1e-3)
    with torch.no_grad(), at_start(model):
        torch.testing.assert_close(scores(model, batch), fresh)


def test_autocast_does_not_remember_the_weights_of_now(
    model_and_batch: tuple[AnyMAL, Batch],
) -> None:
    model, batch = model_and_batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            then = scores(model, batch)
        at_start = AtStart(start_weights(model))
        moved(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores(model, batch)  # whose casts of weights are kept for the backward pass
        with torch.no_grad(), at_start(model):
            assert torch.equal(scores(model, batch), then)
