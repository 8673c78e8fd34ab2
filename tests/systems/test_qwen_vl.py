"""Qwen-VL (A17 of the methods): one cross-attention whose queries and keys know their places.

Works when: the output equals `torch.nn.MultiheadAttention` on (queries + places, keys + places,
values) within 1e-6 of the largest value; patches that move together with their places change
nothing; places have no gradient.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from aligners.positions import places_of
from aligners.registry import build_aligner
from anymal.recipe.schema import load_recipe
from encoders.base import Features, Layout

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "systems" / "qwen_vl.yaml"
GRID = Layout(rows=32, columns=32)


def test_the_resampler_of_the_recipe() -> None:
    given = load_recipe(RECIPE, keep_unset=True).model.modalities["image"].aligner
    sizes = {"encoder_dim": 6, "llm_dim": 16, "embedding_rms": 1.0, "num_tokens": given.num_tokens}
    small = {"num_heads": 4, "head_dim": 4}
    ours: Any = build_aligner(given.kind, **sizes, **(given.options | small))
    mask = torch.ones(1, GRID.count, dtype=torch.bool)
    features = Features(
        values=torch.randn(1, GRID.count, 6), mask=mask, steps=mask.long(), layouts=(GRID,)
    )
    [layer] = ours.layers
    attention = nn.MultiheadAttention(16, 4, batch_first=True)
    maps = (layer.to_query, layer.to_key, layer.to_value)
    attention.in_proj_weight.data.copy_(torch.cat([each.weight for each in maps]))
    attention.in_proj_bias.data.copy_(torch.cat([each.bias for each in maps]))
    attention.out_proj.load_state_dict(layer.to_out.state_dict())
    places = places_of(ours.query_places, (GRID,), mask)
    values = layer.norm_context(ours.project_in(features.values))
    queries = layer.norm_queries(ours.queries)[None] + ours.query_places
    read, _ = attention(queries, values + places, values)
    with torch.no_grad():
        wanted = ours.project_out(ours.norm(read)) * ours.scale
        assert float((ours(features) - wanted).abs().max() / wanted.abs().max()) < 1e-6
        order = torch.randperm(GRID.count)
        moved, _ = attention(queries, (values + places)[:, order], values[:, order])
        torch.testing.assert_close(moved, read, atol=1e-6, rtol=1e-5)
    assert "query_places" not in dict(ours.named_parameters())
    assert not ours.query_places.requires_grad
