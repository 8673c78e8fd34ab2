"""The linear and MLP aligners, and the pooling before them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from aligners.pooled import Pooled
from aligners.pooling import pool_features
from aligners.registry import build_linear, build_mlp
from encoders.base import Features

MakeFeatures = Callable[..., Features]
SIZES = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 0.5, "num_tokens": 6}


@pytest.mark.parametrize("num_positions", [1, 4, 10, 25])
def test_pooling_is_adaptive_over_real_features(
    make_features: MakeFeatures, num_positions: int
) -> None:
    features = make_features(3, 10, 5)
    pooled = pool_features(features.values, features.mask, num_positions)
    for item in range(3):
        real = features.values[item, features.mask[item]]
        expected = F.adaptive_avg_pool1d(real.T, num_positions).T
        torch.testing.assert_close(pooled[item], expected)


def test_pooling_of_nothing_is_zero() -> None:
    pooled = pool_features(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool), 4)
    assert torch.equal(pooled, torch.zeros(1, 4, 2))


def test_mlp_equals_llava_projector() -> None:
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=12),
        text_config=LlamaConfig(hidden_size=20, num_attention_heads=2),
    )
    oracle = LlavaMultiModalProjector(config)
    ours = build_mlp(**SIZES, normalise=False)
    assert isinstance(ours.project, torch.nn.Sequential)
    ours.project[0].load_state_dict(oracle.linear_1.state_dict())
    ours.project[2].load_state_dict(oracle.linear_2.state_dict())
    ours.scale.fill_(1.0)
    values = torch.randn(2, 6, 12)
    features = Features(
        values=values,
        mask=torch.ones(2, 6, dtype=torch.bool),
        steps=torch.zeros(2, 6, dtype=torch.int64),
    )
    torch.testing.assert_close(ours(features).values, oracle(values), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("build", [build_linear, build_mlp])
def test_masked_features_never_matter(
    make_features: MakeFeatures, build: Callable[..., Pooled]
) -> None:
    aligner = build(**SIZES)
    features = make_features(3, 10, 12)
    junk = torch.where(features.mask[..., None], features.values, torch.nan)
    assert torch.equal(aligner(features).values, aligner(replace(features, values=junk)).values)


@pytest.mark.parametrize("build", [build_linear, build_mlp])
def test_soft_tokens_start_as_large_as_words(build: Callable[..., Pooled]) -> None:
    values = 30 * torch.randn(16, 6, 12) + 4  # whatever an encoder's scale is
    features = Features(
        values=values,
        mask=torch.ones(16, 6, dtype=torch.bool),
        steps=torch.zeros(16, 6, dtype=torch.int64),
    )
    soft_tokens = build(**SIZES)(features).values
    assert soft_tokens.shape == (16, 6, 20)
    assert 0.4 < float(soft_tokens.detach().square().mean().sqrt()) < 0.6


# As bundles of version 0.1.0 hold them.
SAVED = {
    build_linear: {"scale": (), "project.weight": (20, 12), "project.bias": (20,)},
    build_mlp: {
        "scale": (),
        "project.0.weight": (20, 12),
        "project.0.bias": (20,),
        "project.2.weight": (20, 20),
        "project.2.bias": (20,),
    },
}


@pytest.mark.parametrize("build", SAVED)
@pytest.mark.parametrize("normalise", [True, False])
def test_weights_keep_the_names_that_bundles_have(
    build: Callable[..., Pooled], normalise: bool
) -> None:
    state = build(**SIZES, normalise=normalise).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == SAVED[build]
