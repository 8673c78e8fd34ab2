from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import IdeficsConfig
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

from aligners.perceiver import Perceiver
from encoders.base import Features

MakeFeatures = Callable[..., Features]
SMALL = {"depth": 2, "num_heads": 2, "head_dim": 8}


def perceiver(**options: object) -> Perceiver:
    sizes = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 0.02, "num_tokens": 6}
    return Perceiver(**(sizes | SMALL | options))  # type: ignore[arg-type]


def test_equals_idefics_resampler(make_features: MakeFeatures) -> None:
    config = IdeficsConfig(vision_config={"embed_dim": 12})
    oracle = IdeficsPerceiverResampler(config, 12, depth=2, n_heads=2, head_dim=8, n_latents=6)
    ours = perceiver(activation="relu")
    with torch.no_grad():
        ours.queries.copy_(oracle.latents)
    names = {
        "norm_context": "context_layer_norm",
        "norm_queries": "latents_layer_norm",
        "to_query": "q_proj",
        "to_key": "k_proj",
        "to_value": "v_proj",
        "to_out": "output_proj",
    }
    for layer, (attention, mlp) in zip(ours.layers, oracle.blocks, strict=True):
        for name, its_name in names.items():
            getattr(layer, name).load_state_dict(getattr(attention, its_name).state_dict())
        for index, its_name in ((0, "ln"), (1, "fc"), (3, "c_proj")):
            layer.feed_forward[index].load_state_dict(getattr(mlp, its_name).state_dict())
    ours.norm.load_state_dict(oracle.layer_norm.state_dict())
    features = make_features(3, 10, 12, has_gaps=False)
    torch.testing.assert_close(
        ours.resample(features), oracle(features.values), atol=1e-6, rtol=1e-6
    )


def test_masked_features_never_matter(make_features: MakeFeatures) -> None:
    aligner = perceiver(num_steps=4)
    features = make_features(3, 10, 12)
    junk = torch.where(features.mask[..., None], features.values, torch.nan)
    assert torch.equal(aligner(features), aligner(replace(features, values=junk)))


def test_masked_features_are_as_good_as_absent(make_features: MakeFeatures) -> None:
    aligner = perceiver()
    features = make_features(3, 10, 12)
    kept = features.mask[1]
    alone = Features(
        values=features.values[1:2, kept], mask=features.mask[1:2, kept], steps=features.steps[1:2]
    )
    torch.testing.assert_close(aligner(features)[1:2], aligner(alone))


def test_soft_tokens_start_as_large_as_words(make_features: MakeFeatures) -> None:
    for options in ({}, {"hidden_dim": 32, "num_steps": 3}):
        soft_tokens = perceiver(**options)(make_features(8, 30, 12, has_gaps=False))
        assert soft_tokens.dtype == torch.float32
        assert 0.018 < float(soft_tokens.detach().square().mean().sqrt()) < 0.022


def test_time_is_seen_only_with_time_embeddings(make_features: MakeFeatures) -> None:
    features = make_features(2, 10, 12)
    backwards = replace(features, steps=features.steps.flip(1))
    blind, seeing = perceiver(), perceiver(num_steps=10)
    assert torch.equal(blind(features), blind(backwards))
    assert not torch.allclose(seeing(features), seeing(backwards), atol=1e-5)


def test_time_starts_about_as_large_as_features() -> None:
    aligner = perceiver(num_steps=64, hidden_dim=16)
    assert aligner.time is not None
    seen = aligner.project_in(torch.randn(500, 12))
    ratio = aligner.time.weight.square().mean().sqrt() / seen.square().mean().sqrt()
    assert 0.5 < ratio < 2


def test_late_steps_share_the_last_embedding(make_features: MakeFeatures) -> None:
    features = make_features(2, 4, 12)
    aligner = perceiver(num_steps=3)
    late = replace(features, steps=features.steps + 2)
    later = replace(features, steps=features.steps + 7)
    assert torch.equal(aligner(late), aligner(later))


def test_every_weight_gets_a_gradient(make_features: MakeFeatures) -> None:
    aligner = perceiver(num_steps=10, hidden_dim=16)
    aligner(make_features(3, 10, 12)).square().sum().backward()
    without = [n for n, p in aligner.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_building_does_not_move_the_random_state() -> None:
    torch.manual_seed(0)
    perceiver()
    after = torch.rand(1)
    torch.manual_seed(0)
    for parameter in perceiver().parameters():
        assert parameter.dtype == torch.float32
    assert torch.equal(torch.rand(1), after)
