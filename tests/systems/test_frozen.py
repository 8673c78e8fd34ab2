"""Frozen (A1 of the methods): one vector, two soft tokens, a language model that stays as it is.

Works when: after a backward pass no weight of the language model has a gradient, every weight of
encoder and connector has one, the connector's not zero, and the two soft tokens are the linear
output cut in two.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from anymal.assemble import build
from anymal.collate import collate
from anymal.recipe.schema import ModelRecipe, load_recipe
from tests.tiny import talk

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "frozen.yaml"


def test_two_soft_tokens_of_one_vector(checkpoints: SimpleNamespace) -> None:
    recipe = load_recipe(RECIPE, keep_unset=True)
    values = recipe.model.model_dump(mode="json")
    values["llm"] |= {"path": str(checkpoints.llm), "precision": "fp32"}
    values["modalities"]["image"]["encoder"]["path"] = str(checkpoints.vision)
    torch.manual_seed(0)
    assembled = build(ModelRecipe.model_validate(values))
    model: Any = assembled.model
    [stage] = recipe.stages
    model.set_trainable([rule.what for rule in stage.trains or []])
    record = talk("What is it?", "A red square.", images=[(255, 0, 0), (0, 0, 255)])
    batch = collate([assembled.processor(record)], pad_id=0)
    features = model.encode(batch.media)["image"]
    assert features.values.shape[1] == 1
    linear = model.aligners["image"].project
    whole = features.values[:, 0] @ linear.weight.T + linear.bias
    wanted = (whole * model.aligners["image"].scale).view(2, 2, model.llm.hidden_size)
    made = model.align({"image": features})["image"].values
    torch.testing.assert_close(made, wanted, atol=1e-6, rtol=1e-5)
    model.loss(batch).total.backward()
    assert all(parameter.grad is None for parameter in model.llm.parameters())
    assert all(parameter.grad is not None for parameter in model.encoders.parameters())
    assert any(parameter.grad.any() for parameter in model.encoders.parameters())
    assert all(parameter.grad.any() for parameter in model.aligners.parameters())
