"""Gated cross-attention beside a plain Llama is what Idefics of transformers computes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import IdeficsConfig, IdeficsForVisionText2Text

from anymal.errors import RecipeError
from anymal.llm.packing import allow_packing
from anymal.model import AnyMAL
from anymal.sample import Sample
from anymal.side.cross import Cross, _FeedForward
from anymal.side.sizes import DecoderSizes
from tests.anymal.side.models import HEADS, LAYERS, SIZES, WIDTH, beside, llama, logits, samples

MEDIA_DIM, TOKENS = 24, 5
DECODER = DecoderSizes(
    num_layers=LAYERS, hidden_dim=WIDTH, num_heads=HEADS, head_dim=WIDTH // HEADS
)
# Rows of `_Block` by the names of Idefics.
NAMES = {
    "cross_attn.q_proj": "to_query",
    "cross_attn.k_proj": "to_key",
    "cross_attn.v_proj": "to_value",
    "cross_attn.o_proj": "to_out",
    "cross_attn.q_layer_norm": "norm_query",
    "cross_attn.k_layer_norm": "norm_key",
    "input_layernorm": "norm",
    "post_attention_layernorm": "norm_fed",
    "mlp.up_proj": "feed_forward.up",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.down_proj": "feed_forward.down",
}


def idefics(*, every: int, heads_are_normalised: bool, alpha: str) -> IdeficsForVisionText2Text:
    """The class with random weights, its gates open."""
    torch.manual_seed(0)
    vision = {
        "embed_dim": MEDIA_DIM,
        "image_size": 8,
        "patch_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    config = IdeficsConfig(
        **SIZES,
        vision_config=vision,
        cross_layer_interval=every,
        qk_layer_norms=heads_are_normalised,
        alpha_type=alpha,
        alpha_initializer="ones",
        use_resampler=False,
    )
    model = IdeficsForVisionText2Text(config).eval()
    for name, parameter in model.named_parameters():
        if "alpha" in name:
            nn.init.normal_(parameter)
        elif "norm" in name:
            nn.init.normal_(parameter, mean=1.0, std=0.2)
    return model


def ours(model: IdeficsForVisionText2Text, *, every: int, reads: str) -> AnyMAL:
    """The same weights: a plain Llama, and a side."""
    config: Any = model.config
    text = llama(max_position_embeddings=config.max_position_embeddings)
    state = model.state_dict()
    text.load_state_dict({name: state[name] for name in text.state_dict()})
    side = Cross(
        sizes=DECODER,
        every=every,
        first=0,
        media_dim=MEDIA_DIM,
        num_heads=HEADS,
        head_dim=WIDTH // HEADS,
        reads=reads,  # type: ignore[arg-type]
        feed_forward="swiglu",
        ffn_dim=config.intermediate_size,
        gate="vector" if config.alpha_type == "vector" else "scalar",
        norm="rms",
        eps=config.rms_norm_eps,
        normalise_heads=config.qk_layer_norms,
    )
    blocks: dict[str, Tensor] = {}
    for number, (own, theirs) in enumerate(
        zip(side.blocks, model.model.gated_cross_attn_layers, strict=True)
    ):
        assert int(own) == number * every
        for name, parameter in theirs.named_parameters():
            layer, _, kind = name.rpartition(".")
            key = {"alpha_cross_attn": "gate", "alpha_dense": "gate_fed"}.get(name)
            key = key or f"{NAMES[layer]}.{kind}"
            blocks[f"blocks.{own}.{key}"] = parameter.flatten() if "alpha" in name else parameter
    side.load_state_dict(blocks)
    return beside(text, side)


@torch.no_grad()
def theirs(model: IdeficsForVisionText2Text, given: Sample, *, reads: str) -> Tensor:
    """Logits of the class for one sample."""
    items = given.media.get("image", [])
    places = [slot.start for slot in given.slots]
    pictures = [item.tensors["value"][0] for item in items] or [torch.zeros(TOKENS, MEDIA_DIM)]
    mask = torch.zeros(1, len(given.ids), len(pictures), dtype=torch.long)
    for position in range(len(given.ids)):
        seen = [number for number, place in enumerate(places) if place <= position]
        for number in seen if reads == "all" else seen[-1:]:
            mask[0, position, number] = 1
    out = model(
        input_ids=given.ids[None],
        attention_mask=torch.ones(1, len(given.ids), dtype=torch.long),
        image_encoder_embeddings=torch.stack(pictures)[None],
        image_attention_mask=mask,
    )
    logits: Tensor = out.logits[0]
    return logits


@pytest.mark.parametrize(
    ("every", "reads", "heads_are_normalised", "alpha"),
    [(2, "last", True, "float"), (1, "all", False, "vector"), (4, "last", True, "vector")],
)
def test_logits_are_those_of_idefics_alone_side_by_side_and_packed(
    every: int, reads: str, heads_are_normalised: bool, alpha: str
) -> None:
    original = idefics(every=every, heads_are_normalised=heads_are_normalised, alpha=alpha)
    model = ours(original, every=every, reads=reads)
    chosen = samples(MEDIA_DIM, TOKENS)
    wanted = [theirs(original, each, reads=reads) for each in chosen]
    allow_packing(model.llm)
    together = logits(model, chosen)
    packed = logits(model, chosen, is_packed=True)
    for number, each in enumerate(chosen):
        size = float(wanted[number].abs().max())
        for own in (logits(model, [each])[0], together[number], packed[number]):
            assert float((own - wanted[number]).abs().max()) < 1e-5 * size, number


def test_a_later_picture_changes_nothing_before_it() -> None:
    torch.manual_seed(0)
    side = Cross(sizes=DECODER, media_dim=MEDIA_DIM, num_heads=2, head_dim=8)
    for block in side.blocks.values():
        nn.init.ones_(block.gate)
    model = beside(llama(), side)
    first, last = samples(MEDIA_DIM, TOKENS)[0], samples(MEDIA_DIM, TOKENS)[0]
    last.media["image"][1].tensors["value"].neg_()
    one, other = logits(model, [first])[0], logits(model, [last])[0]
    assert torch.equal(one[:6], other[:6])
    assert not torch.allclose(one[6:], other[6:])


def test_blocks_stand_where_openflamingo_puts_them() -> None:
    sizes = DecoderSizes(num_layers=8, hidden_dim=8, num_heads=1, head_dim=8)
    assert list(Cross(sizes=sizes, every=4).blocks) == ["3", "7"]
    assert list(Cross(sizes=sizes, every=4, first=0).blocks) == ["0", "4"]
    with pytest.raises(RecipeError, match="8 layers, from 0; lower"):
        Cross(sizes=sizes, every=9)


@pytest.mark.parametrize(
    ("feed_forward", "wanted"),
    [("relu", [0.0, 2.0]), ("squared_relu", [0.0, 4.0]), ("gelu", [-0.0455, 1.9545])],
)
def test_feed_forward_is_what_its_name_says(feed_forward: str, wanted: list[float]) -> None:
    layer = _FeedForward(2, 2, feed_forward)  # type: ignore[arg-type]
    for each in (layer.up, layer.down):
        nn.init.eye_(each.weight)
    given = torch.tensor([[-2.0, 2.0]])
    torch.testing.assert_close(layer(given)[0], torch.tensor(wanted), atol=1e-4, rtol=0)
