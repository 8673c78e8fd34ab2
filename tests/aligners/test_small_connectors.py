"""`expand` and `joint`, compared with torch's own modules."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from aligners.expand import Expand
from aligners.joint import Joint
from aligners.limits import AlignerError
from encoders.base import Features

MakeFeatures = Callable[..., Features]
SIZES = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 0.02}


def test_expand_is_a_view_of_one_linear_map(make_features: MakeFeatures) -> None:
    aligner = Expand(**SIZES, num_tokens=2, start="plain")
    features = make_features(3, 1, 12, has_gaps=False)
    wanted = (features.values[:, 0] @ aligner.project.weight.T + aligner.project.bias).view(
        3, 2, 20
    )
    torch.testing.assert_close(aligner(features), wanted, atol=1e-6, rtol=1e-6)


def test_expand_refuses_more_than_one_feature(make_features: MakeFeatures) -> None:
    with pytest.raises(AlignerError, match="one feature for each medium, and the encoder gave 5"):
        Expand(**SIZES)(make_features(3, 5, 12))


def joint() -> Joint:
    return Joint(
        **SIZES, num_tokens=3, depth=2, num_heads=4, hidden_dim=8, norm_out="layer", start="plain"
    )


def test_joint_is_transformer_blocks_over_queries_and_features(make_features: MakeFeatures) -> None:
    aligner, features = joint(), make_features(3, 10, 12)
    for parameter in aligner.parameters():
        nn.init.normal_(parameter, std=0.5)
    rows = torch.cat(
        [aligner.queries.expand(3, -1, -1), aligner.project_in(features.values)], dim=1
    )
    is_padding = torch.cat([torch.zeros(3, 3, dtype=torch.bool), ~features.mask], dim=1)
    for layer in aligner.layers:
        block = nn.TransformerEncoderLayer(
            8, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        maps = (layer.to_query, layer.to_key, layer.to_value)
        block.self_attn.in_proj_weight.data.copy_(torch.cat([each.weight for each in maps]))
        block.self_attn.in_proj_bias.data.copy_(torch.cat([each.bias for each in maps]))
        block.self_attn.out_proj.load_state_dict(layer.to_out.state_dict())
        block.norm1.load_state_dict(layer.norm_queries.state_dict())
        for theirs, number in ((block.norm2, 0), (block.linear1, 1), (block.linear2, 3)):
            theirs.load_state_dict(layer.feed_forward[number].state_dict())
        rows = block(rows, src_key_padding_mask=is_padding)
    wanted = aligner.project_out(rows[:, :3])
    torch.testing.assert_close(aligner(features), wanted, atol=1e-5, rtol=1e-5)


def test_joint_ignores_masked_features_and_trains_every_weight(make_features: MakeFeatures) -> None:
    aligner, features = joint(), make_features(3, 10, 12)
    junk = torch.where(features.mask[..., None], features.values, torch.nan)
    assert torch.equal(aligner(features), aligner(replace(features, values=junk)))
    (aligner(features) * torch.randn(20)).sum().backward()
    without = [n for n, p in aligner.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("num_features", [1, 30])
def test_both_start_as_large_as_words(make_features: MakeFeatures, num_features: int) -> None:
    features = make_features(8, num_features, 12, has_gaps=False)
    aligner = Expand(**SIZES) if num_features == 1 else Joint(**SIZES, num_heads=4, depth=2)
    assert 0.015 < float(aligner(features).detach().square().mean().sqrt()) < 0.025
