"""Published resamplers are settings of the perceiver: each is compared with its own class."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Idefics2Config, IdeficsConfig, Kosmos2Config
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler
from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig
from transformers.models.idefics2.modeling_idefics2 import Idefics2PerceiverResampler
from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2ImageToTextProjection

from aligners.layers import ACTIVATIONS
from aligners.limits import AlignerError
from aligners.perceiver import Perceiver
from aligners.positions import waves_2d
from encoders.base import Features, Layout

MakeFeatures = Callable[..., Features]
DIM = 12


def perceiver(**options: object) -> Perceiver:
    sizes = {"encoder_dim": DIM, "llm_dim": DIM, "embedding_rms": 0.02, "num_tokens": 4}
    given = sizes | {"depth": 2, "num_heads": 4, "head_dim": 3, "start": "plain"} | options
    return Perceiver(**given)  # type: ignore[arg-type]


def copy_modules(pairs: Mapping[str, nn.Module], ours: nn.Module) -> None:
    for name, theirs in pairs.items():
        ours.get_submodule(name).load_state_dict(theirs.state_dict())


def test_normalised_heads_are_those_of_idefics(make_features: MakeFeatures) -> None:
    config = IdeficsConfig(
        vision_config={"embed_dim": DIM}, perceiver_config={"qk_layer_norms_perceiver": True}
    )
    oracle = IdeficsPerceiverResampler(config, DIM, depth=2, n_heads=4, head_dim=3, n_latents=4)
    for parameter in oracle.parameters():  # norms too, which start as ones and zeros
        nn.init.normal_(parameter, std=0.5)
    ours = perceiver(activation="relu", normalise_heads=True, project_out=False)
    ours.queries.data.copy_(oracle.latents)
    for number, (attention, mlp) in enumerate(oracle.blocks):
        pairs = {
            "norm_context": attention.context_layer_norm,
            "norm_queries": attention.latents_layer_norm,
            "norm_query_heads": attention.q_layer_norm,
            "norm_key_heads": attention.k_layer_norm,
            "to_query": attention.q_proj,
            "to_key": attention.k_proj,
            "to_value": attention.v_proj,
            "to_out": attention.output_proj,
            "feed_forward.0": mlp.ln,
            "feed_forward.1": mlp.fc,
            "feed_forward.3": mlp.c_proj,
        }
        copy_modules(pairs, ours.layers[number])
    ours.norm.load_state_dict(oracle.layer_norm.state_dict())
    features = make_features(3, 10, DIM, has_gaps=False)
    torch.testing.assert_close(ours(features), oracle(features.values), atol=1e-6, rtol=1e-5)


def test_shared_keys_gates_and_root_mean_squares_are_those_of_idefics2(
    make_features: MakeFeatures,
) -> None:
    config = Idefics2PerceiverConfig(
        hidden_size=DIM,
        resampler_n_latents=4,
        resampler_depth=2,
        resampler_n_heads=4,
        resampler_head_dim=3,
        num_key_value_heads=2,
    )
    config._attn_implementation = "eager"
    oracle = Idefics2PerceiverResampler(config)
    for parameter in oracle.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = perceiver(activation="swiglu", norm="rms", key_heads=2, project_out=False)
    ours.queries.data.copy_(oracle.latents)
    for number, layer in enumerate(oracle.layers):
        pairs = {
            "norm_context": layer.input_context_norm,
            "norm_queries": layer.input_latents_norm,
            "to_query": layer.self_attn.q_proj,
            "to_key": layer.self_attn.k_proj,
            "to_value": layer.self_attn.v_proj,
            "to_out": layer.self_attn.o_proj,
            "feed_forward.0": layer.post_attention_layernorm,
            "feed_forward.3": layer.mlp.down_proj,
        }
        copy_modules(pairs, ours.layers[number])
        both = torch.cat([layer.mlp.up_proj.weight, layer.mlp.gate_proj.weight])
        ours.layers[number].feed_forward[1].weight.data.copy_(both)
    ours.norm.load_state_dict(oracle.norm.state_dict())
    features = make_features(3, 10, DIM)
    theirs = oracle(features.values, features.mask)
    torch.testing.assert_close(ours(features), theirs, atol=1e-5, rtol=1e-5)
    assert Idefics2Config().perceiver_config.resampler_depth == 3  # as docs/recipes.md says


def test_one_bare_attention_is_that_of_kosmos2(make_features: MakeFeatures) -> None:
    text = {"embed_dim": 16, "attention_heads": 4, "layers": 1, "ffn_dim": 8, "vocab_size": 10}
    config = Kosmos2Config(text_config=text, vision_config={"hidden_size": DIM}, latent_query_num=4)
    oracle = Kosmos2ImageToTextProjection(config).eval()
    ours = perceiver(
        **{"llm_dim": 16, "hidden_dim": "llm", "depth": 1, "num_heads": 4, "head_dim": 4},
        **{"mult": 0, "norm": "none", "residual": False, "bias": True, "project_out": False},
    )
    ours.queries.data.copy_(oracle.latent_query)
    ours.project_in.load_state_dict(oracle.dense.state_dict())
    names = {"to_query": "q_proj", "to_key": "k_proj", "to_value": "v_proj", "to_out": "out_proj"}
    copy_modules({o: getattr(oracle.x_attn, t) for o, t in names.items()}, ours.layers[0])
    features = make_features(3, 10, DIM, has_gaps=False)
    theirs, _ = oracle(features.values)
    torch.testing.assert_close(ours(features), theirs, atol=1e-6, rtol=1e-5)


GRID = Layout(rows=3, columns=5)


def qwen_vl() -> Perceiver:
    return perceiver(
        **{"encoder_dim": 6, "hidden_dim": DIM, "depth": 1, "mult": 0, "attends_itself": False},
        **{"residual": False, "bias": True, "positions": "sincos2d"},
    )


def in_grid(make_features: MakeFeatures) -> Features:
    features = make_features(3, GRID.count, 6, has_gaps=False)
    return replace(features, layouts=(GRID,) * 3)


def test_positions_on_queries_and_keys_are_those_of_qwen_vl(make_features: MakeFeatures) -> None:
    ours, features = qwen_vl(), in_grid(make_features)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    layer = ours.layers[0]
    attention = nn.MultiheadAttention(DIM, 4, batch_first=True)
    maps = (layer.to_query, layer.to_key, layer.to_value)
    attention.in_proj_weight.data.copy_(torch.cat([each.weight for each in maps]))
    attention.in_proj_bias.data.copy_(torch.cat([each.bias for each in maps]))
    attention.out_proj.load_state_dict(layer.to_out.state_dict())
    waves = waves_2d(2, DIM)
    grid = waves.view(2, 2, DIM).permute(2, 0, 1)[None]
    keys_at = F.interpolate(grid, size=(3, 5), mode="bicubic")[0].permute(1, 2, 0).reshape(15, DIM)
    values = layer.norm_context(ours.project_in(features.values))
    queries = layer.norm_queries(ours.queries).expand(3, -1, -1)
    read, _ = attention(queries + waves, values + keys_at, values)
    wanted = ours.project_out(ours.norm(read))
    torch.testing.assert_close(ours(features), wanted, atol=1e-6, rtol=1e-5)


def test_waves_tell_columns_then_rows() -> None:
    wanted = torch.tensor([0.0, 1.0]).sin(), torch.tensor([0.0, 1.0]).cos()
    waves = waves_2d(2, 4).view(2, 2, 4)  # row, column: sin c, cos c, sin r, cos r
    for number in (0, 1):
        torch.testing.assert_close(waves[0, :, number], wanted[number])
        torch.testing.assert_close(waves[:, 0, 2 + number], wanted[number])
        torch.testing.assert_close(waves[1, :, 2 + number], wanted[number][1].expand(2))


def test_positions_are_fixed_and_no_weights(make_features: MakeFeatures) -> None:
    aligner = qwen_vl()
    assert aligner.query_places is not None
    assert not aligner.query_places.requires_grad
    assert "query_places" not in aligner.state_dict()
    features = in_grid(make_features)
    moved = replace(features, values=features.values.flip(1))
    assert not torch.allclose(aligner(features), aligner(moved), atol=1e-5)


def test_two_views_have_the_same_places(make_features: MakeFeatures) -> None:
    aligner = qwen_vl()
    one = in_grid(make_features)
    two = Features(
        values=torch.cat([one.values, one.values], dim=1),
        mask=torch.cat([one.mask, one.mask], dim=1),
        steps=torch.cat([one.steps, one.steps], dim=1),
        layouts=(replace(GRID, views=2),) * 3,
    )
    torch.testing.assert_close(aligner(one), aligner(two))


@pytest.mark.parametrize("layouts", [None, (Layout(before=1, rows=3, columns=5),) * 3])
def test_positions_need_rows(
    make_features: MakeFeatures, layouts: tuple[Layout, ...] | None
) -> None:
    features = replace(make_features(3, 16, 6), layouts=layouts)
    with pytest.raises(AlignerError, match="drop_cls: true"):
        qwen_vl()(features)


def test_squared_relu_is_flamingos() -> None:
    rows = torch.tensor([-2.0, 0.0, 0.5, 3.0])
    wanted: Tensor = torch.tensor([0.0, 0.0, 0.25, 9.0])
    assert torch.equal(ACTIVATIONS["squared_relu"]()(rows), wanted)
