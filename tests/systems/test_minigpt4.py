"""MiniGPT-4 (A15 of the methods): BLIP-2's Q-Former, then a linear layer of two tensors.

Works when: `Blip2QFormerModel` and then the linear layer give the soft tokens within 1e-4, and two
tensors train in the second stage of the recipe.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from aligners.registry import build_aligner
from anymal.recipe.schema import load_recipe
from anymal.trainable.rules import match
from anymal.trainable.weights import weights_of
from encoders.base import Features

FOLDER = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "minigpt4"


def test_qformer_and_linear_layer_of_the_recipe() -> None:
    both = [
        load_recipe(FOLDER / f"{name}.yaml", keep_unset=True).model.modalities["image"]
        for name in ("align", "instruct")
    ]
    assert both[0] == both[1]
    options = both[0].aligner.options | {"layers": 2, "width": 16, "num_heads": 2}
    sizes = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 1.0, "num_tokens": 32}
    ours: Any = build_aligner("qformer", **sizes, **options).eval()
    config = Blip2QFormerConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        encoder_hidden_size=12,
    )
    oracle = Blip2QFormerModel(config).eval()
    weights = oracle.state_dict()
    for name in [name for name in weights if name.startswith("layernorm.")]:
        weights[f"embeddings.{name}"] = weights.pop(name)
    ours.qformer.load_state_dict(weights)
    values = torch.randn(2, 257, 12)
    mask = torch.ones(2, 257, dtype=torch.bool)
    with torch.no_grad():
        asked = oracle(
            query_embeds=ours.queries.expand(2, -1, -1), encoder_hidden_states=ours.norm(values)
        ).last_hidden_state
        wanted = nn.functional.linear(asked, ours.project.weight, ours.project.bias)
        made = ours(Features(values=values, mask=mask, steps=mask.long()))
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-4)
    [stage] = load_recipe(FOLDER / "instruct.yaml", keep_unset=True).stages
    trains = match(weights_of(ours, "aligners.image."), [rule.what for rule in stage.trains or []])
    assert sorted(trains) == ["aligners.image.project.bias", "aligners.image.project.weight"]
