"""One projection for many settings, and the pooling before it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from aligners.limits import AlignerError
from aligners.pooling import pool_features
from aligners.projection import Projection
from aligners.registry import build_linear, build_mlp
from encoders.base import Features, Layout
from tests.aligners.projections import of, projection

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


@pytest.mark.parametrize("build", [build_linear, build_mlp])
def test_masked_features_never_matter(
    make_features: MakeFeatures, build: Callable[..., Projection]
) -> None:
    aligner = build(**SIZES)
    features = make_features(3, 10, 12)
    junk = torch.where(features.mask[..., None], features.values, torch.nan)
    assert torch.equal(aligner(features).values, aligner(replace(features, values=junk)).values)


@pytest.mark.parametrize("build", [build_linear, build_mlp])
def test_soft_tokens_start_as_large_as_words(build: Callable[..., Projection]) -> None:
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
    build: Callable[..., Projection], normalise: bool
) -> None:
    state = build(**SIZES, normalise=normalise).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == SAVED[build]


@pytest.mark.parametrize("options", [{"merge": 3}, {"merge": 3, "num_tokens": 4}, {}])
def test_batch_equals_single_without_its_gaps(
    make_features: MakeFeatures, options: dict[str, Any]
) -> None:
    ours = projection(**options)
    features = make_features(3, 10, 12)
    together = torch.split(ours(features).flat(), ours(features).counts())
    for item, found in enumerate(together):
        alone = ours(of(features.values[item : item + 1, features.mask[item]])).flat()
        torch.testing.assert_close(found, alone)


def test_newline_learns_and_stands_behind_each_row_of_each_view() -> None:
    ours = projection(depth=1, newline=True)
    layout = Layout(views=2, before=1, rows=2, columns=2)
    made = ours(of(torch.randn(1, 10, 12), layout))
    assert made.counts() == [14] == [ours.count(layout)]
    is_newline = (made.flat() == ours.newline).all(dim=1)
    assert is_newline.nonzero()[:, 0].tolist() == [3, 6, 10, 13]
    made.flat().sum().backward()
    assert ours.newline is not None
    assert torch.equal(ours.newline.grad, torch.full((20,), 4.0))
    with pytest.raises(AlignerError, match="tells the layouts"):
        ours(of(torch.randn(1, 10, 12)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 3}, "depth is 3"),
        ({"merge": 0}, "merge is 0"),
        ({"hidden_dim": 0}, "hidden_dim is 0"),
        (
            {"activation": "tanh"},
            "unknown activation 'tanh'; known: gelu, silu, relu, squared_relu, swiglu",
        ),
        ({"norm_out": "batch"}, "unknown norm_out 'batch'; known: none, standard, layer, rms"),
        ({"start": "zero"}, "unknown start 'zero'; known: rms, plain"),
        ({"activation": "swiglu", "depth": 1}, "needs depth: 2"),
        ({"newline": True, "merge": 2}, "needs num_tokens: null and merge: 1"),
        ({"newline": True, "num_tokens": 64}, "needs num_tokens: null"),
    ],
)
def test_mistake_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(AlignerError, match=words):
        projection(**options)
