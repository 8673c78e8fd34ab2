"""Projections equal the projectors of published systems, on random weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    CLIPVisionConfig,
    Idefics3Config,
    InternVLConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaNextModel,
    Qwen2AudioConfig,
    VoxtralConfig,
)
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector
from transformers.models.internvl.modeling_internvl import (
    InternVLModel,
    InternVLMultiModalProjector,
)
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    unpad_image,
)
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioMultiModalProjector
from transformers.models.voxtral.modeling_voxtral import VoxtralMultiModalProjector

from aligners.projection import Projection
from aligners.registry import build_mlp
from encoders.base import Features, Layout
from tests.aligners.projections import of, projection


def take(ours: Projection, *layers: nn.Linear) -> None:
    """Take over the linear layers of another projector."""
    own = [layer for layer in ours.modules() if isinstance(layer, nn.Linear)]
    for mine, other in zip(own, layers, strict=True):
        mine.load_state_dict(other.state_dict())


def test_mlp_equals_llava_projector() -> None:
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=12),
        text_config=LlamaConfig(hidden_size=20, num_attention_heads=2),
    )
    oracle = LlavaMultiModalProjector(config)
    ours = build_mlp(encoder_dim=12, llm_dim=20, embedding_rms=0.5, num_tokens=6, normalise=False)
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


def language(width: int = 20) -> LlamaConfig:
    return LlamaConfig(hidden_size=width, num_attention_heads=2)


def test_equals_qwen2_audio() -> None:
    config = Qwen2AudioConfig(audio_config={"d_model": 12}, text_config={"hidden_size": 20})
    oracle = Qwen2AudioMultiModalProjector(config)
    ours = projection(depth=1)
    take(ours, oracle.linear)
    values = torch.randn(2, 7, 12)
    assert torch.equal(ours(of(values)).values, oracle(values))


def test_equals_voxtral_which_joins_four() -> None:
    config = VoxtralConfig(
        audio_config={"intermediate_size": 48, "hidden_size": 12}, text_config=language()
    )
    oracle = VoxtralMultiModalProjector(config)
    ours = projection(merge=4, bias=False)
    take(ours, oracle.linear_1, oracle.linear_2)
    values = torch.randn(2, 8, 12)
    found = ours(of(values))
    assert found.counts() == [2, 2] == [ours.count(Layout(before=8))] * 2
    assert torch.equal(found.flat(), oracle(values.reshape(-1, 48)))


def squares(values: torch.Tensor, side: int) -> torch.Tensor:
    """A map of features, its 2 x 2 neighbours one after the other: what an encoder would give."""
    grid = values.unflatten(1, (side // 2, 2, side // 2, 2))
    return grid.transpose(2, 3).flatten(1, 4)


def test_equals_idefics3_on_squares() -> None:
    config = Idefics3Config(vision_config={"hidden_size": 12}, text_config=language())
    config.scale_factor = 2
    oracle = Idefics3Connector(config)
    ours = projection(depth=1, merge=4, bias=False)
    take(ours, oracle.modality_projection.proj)
    values = torch.randn(3, 36, 12)
    torch.testing.assert_close(ours(of(squares(values, 6))).values, oracle(values))


def test_equals_internvl_on_squares() -> None:
    config = InternVLConfig(vision_config={"hidden_size": 12}, text_config=language().to_dict())
    oracle = InternVLMultiModalProjector(config)
    nn.init.normal_(oracle.layer_norm.weight)
    nn.init.normal_(oracle.layer_norm.bias)
    ours = projection(merge=4, norm="layer")
    take(ours, oracle.linear_1, oracle.linear_2)
    ours.norm.load_state_dict(oracle.layer_norm.state_dict())
    values = torch.randn(3, 36, 12)
    shuffled = InternVLModel.pixel_shuffle(None, values.view(3, 6, 6, 12), 0.5).flatten(1, 2)
    found = ours(of(squares(values, 6))).values
    torch.testing.assert_close(found, oracle(shuffled), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("place", ["norm_middle", "norm_out"])
def test_equals_ultravox_written_out(place: str) -> None:
    ours = projection(
        merge=8, norm="rms", hidden_dim=24, activation="swiglu", bias=False, **{place: "rms"}
    )
    first, second = (layer for layer in ours.modules() if isinstance(layer, nn.Linear))
    values = torch.randn(2, 21, 12)

    def rms(rows: torch.Tensor) -> torch.Tensor:
        return rows * (rows.square().mean(-1, keepdim=True) + 1e-6).rsqrt()

    stacked = F.pad(values, (0, 0, 0, 3)).reshape(2, 3, 96)
    left, right = (rms(stacked) @ first.weight.T).chunk(2, dim=-1)
    middle = F.silu(right) * left
    middle = rms(middle) if place == "norm_middle" else middle
    expected = middle @ second.weight.T
    expected = rms(expected) if place == "norm_out" else expected
    torch.testing.assert_close(ours(of(values)).values, expected, atol=1e-5, rtol=1e-5)


def test_equals_llava_next_which_ends_rows() -> None:
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=12,
            image_size=8,
            patch_size=2,
            num_hidden_layers=1,
            intermediate_size=8,
            num_attention_heads=2,
        ),
        text_config=LlamaConfig(
            hidden_size=20,
            num_attention_heads=2,
            num_hidden_layers=1,
            intermediate_size=8,
            vocab_size=8,
        ),
        image_grid_pinpoints=[[8, 16], [16, 8], [16, 16]],
    )
    oracle = LlavaNextModel(config)
    projector = oracle.multi_modal_projector
    ours = projection(newline=True)
    take(ours, projector.linear_1, projector.linear_2)
    assert ours.newline is not None
    with torch.no_grad():
        ours.newline.copy_(oracle.image_newline)
    random = torch.Generator().manual_seed(0)
    items, layouts, expected = [], [], []
    for height, width in torch.randint(3, 40, (50, 2), generator=random).tolist():
        down, across = get_anyres_image_grid_shape((height, width), config.image_grid_pinpoints, 8)
        views = torch.randn(1 + down * across, 16, 12, generator=random)
        size = torch.tensor([[height, width]])
        (packed,), _ = oracle.pack_image_features(
            [projector(views)], size, "default", image_newline=oracle.image_newline
        )
        grid = views[1:].view(down, across, 4, 4, 12).permute(4, 0, 2, 1, 3)
        shown = unpad_image(grid.flatten(1, 2).flatten(2, 3), (height, width))
        items.append(torch.cat([views[0], shown.flatten(1).T]))
        layouts.append(Layout(before=16, rows=shown.shape[1], columns=shown.shape[2]))
        expected.append(packed)
    assert len(set(layouts)) > 5
    mask = nn.utils.rnn.pad_sequence(
        [torch.ones(len(item), dtype=torch.bool) for item in items], batch_first=True
    )
    values = nn.utils.rnn.pad_sequence(items, batch_first=True)
    steps = torch.zeros(mask.shape, dtype=torch.int64)
    made = ours(Features(values=values, mask=mask, steps=steps, layouts=tuple(layouts)))
    assert made.counts() == [ours.count(layout) for layout in layouts]
    torch.testing.assert_close(made.flat(), torch.cat(expected), atol=1e-5, rtol=1e-5)
