"""The views of a vision tower that published systems read, against the classes that read them."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    CLIPModel,
    CLIPVisionConfig,
    InternVLVisionConfig,
    Kosmos2Config,
    Kosmos2Model,
    SiglipModel,
)
from transformers.models.clip.modeling_clip import CLIPVisionModel

from aligners.projection import Projection
from encoders.base import Encoder, EncoderInputs, Features, stack_inputs
from encoders.outline import outline
from encoders.registry import build_encoder
from encoders.signals import Video
from encoders.vision_tower import save_random_tower
from tests.encoders.conftest import VIT, image
from tests.encoders.larger_models import LARGER, save_larger

Find = Callable[[str], str]


@pytest.fixture(name="larger", scope="module")
def _larger(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, Any]]:
    """From a name in LARGER to its folder and its model, written once."""
    found: dict[str, tuple[str, Any]] = {}

    def find(name: str) -> tuple[str, Any]:
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            found[name] = (str(folder), save_larger(name, folder))
        return found[name]

    return find


Larger = Callable[[str], tuple[str, Any]]


def look(path: str, seed: int = 0, **options: Any) -> tuple[Encoder, EncoderInputs, Features]:
    encoder = build_encoder("vision", path, **options)
    inputs = stack_inputs([encoder.preprocessor(image(40, 90, seed))])
    features = encoder(inputs)
    assert encoder.layout is not None
    told = encoder.layout(inputs.tensors)
    assert told.count == features.mask.sum()
    assert outline("vision", None, path, **options).width == encoder.width
    return encoder, inputs, features


def connector(width: int, **options: Any) -> Projection:
    plain = {"norm": "none", "start": "plain", "num_tokens": None} | options
    return Projection(encoder_dim=width, llm_dim=16, embedding_rms=1.0, **plain)


def take(ours: Projection, *layers: torch.nn.Linear) -> None:
    own = [layer for layer in ours.modules() if isinstance(layer, torch.nn.Linear)]
    for mine, other in zip(own, layers, strict=True):
        mine.load_state_dict(other.state_dict())


@pytest.mark.parametrize("name", list(LARGER))
def test_a_tower_inside_a_larger_model_is_read_and_nothing_else(
    larger: Larger, name: str, tmp_path: Path
) -> None:
    path, model = larger(name)
    inner = getattr(model, "model", model)
    tower = getattr(inner, "vision_tower", None) or inner.vision_model
    encoder, inputs, features = look(path, layer=None, drop_cls=False)
    assert isinstance(encoder, torch.nn.Module)
    assert type(encoder.model) is type(tower)
    with torch.no_grad():
        expected = tower(inputs.tensors["pixel_values"]).last_hidden_state
    torch.testing.assert_close(features.values, expected.flatten(0, 1)[None], atol=1e-6, rtol=1e-5)
    tower.save_pretrained(tmp_path)
    for file in Path(path).glob("*processor_config.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    alone = build_encoder("vision", str(tmp_path), layer=None, drop_cls=False)
    assert alone.fingerprint == encoder.fingerprint
    told = outline("vision", None, path, layer=None, drop_cls=False)
    assert told.num_parameters == sum(weight.numel() for weight in tower.parameters())


def test_the_rest_of_a_larger_model_is_not_reported(
    larger: Larger,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path, _ = larger("vipllava")
    save_random_tower(CLIPVisionConfig(**VIT), tmp_path)  # with its projection
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_warning()
    look(path)
    look(str(tmp_path))
    assert transformers.logging.get_verbosity() == logging.WARNING
    transformers.logging.set_verbosity(before)
    assert [record.getMessage() for record in caplog.records] == []


def test_several_layers_are_joined_as_vipllava_joins_them(larger: Larger) -> None:
    path, model = larger("vipllava")
    encoder, inputs, features = look(path, layer=[-2, 1, -1])
    assert encoder.width == 3 * 16
    with torch.no_grad():
        expected = model.get_image_features(**inputs.tensors).pooler_output
    projector = model.model.multi_modal_projector
    ours = connector(48, norm="layer")
    ours.norm.load_state_dict(projector.projector_layernorm.state_dict())
    take(ours, projector.linear_1, projector.linear_2)
    torch.testing.assert_close(ours(features).flat(), expected[0], atol=1e-5, rtol=1e-5)


def test_squares_are_what_internvl_shuffles_tile_by_tile(larger: Larger) -> None:
    path, model = larger("internvl")
    encoder, inputs, features = look(path, layer=None, order="blocks")
    assert len(inputs.tensors["pixel_values"]) == 2 + 1  # a wide picture: two tiles and the whole
    with torch.no_grad():
        expected = model.get_image_features(**inputs.tensors).pooler_output
    projector = model.model.multi_modal_projector
    ours = connector(16, norm="layer", merge=4)
    ours.norm.load_state_dict(projector.layer_norm.state_dict())
    take(ours, projector.linear_1, projector.linear_2)
    made = ours(features)
    assert encoder.layout is not None
    assert made.counts() == [ours.count(encoder.layout(inputs.tensors))] == [3 * 4]
    torch.testing.assert_close(made.flat(), expected.flatten(0, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 4])
def test_squares_are_what_idefics3_shuffles(scale: int, tmp_path: Path) -> None:
    model = save_larger("idefics3", tmp_path)
    model.model.connector.scale_factor = scale
    linear = torch.nn.Linear(16 * scale**2, 16, bias=False)
    model.model.connector.modality_projection.proj = linear
    _, inputs, features = look(str(tmp_path), layer=None, order="blocks", block_size=scale)
    with torch.no_grad():
        expected = model.get_image_features(inputs.tensors["pixel_values"][None]).pooler_output
    ours = connector(16, depth=1, bias=False, merge=scale**2)
    take(ours, linear)
    torch.testing.assert_close(ours(features).flat(), expected[0], atol=1e-5, rtol=1e-5)


def test_unit_length_after_the_last_norm_is_what_kosmos_2_projects(
    checkpoint: Find, tmp_path: Path
) -> None:
    path = checkpoint("clip_vision")
    tower = CLIPVisionModel.from_pretrained(path)
    text = {"layers": 1, "attention_heads": 2, "embed_dim": 16, "ffn_dim": 24, "vocab_size": 50}
    config = Kosmos2Config(vision_config=VIT, text_config=text, latent_query_num=4)
    kosmos = Kosmos2Model(config).eval()
    kosmos.vision_model.model.load_state_dict(tower.state_dict())
    given: list[torch.Tensor] = []
    kosmos.image_to_text_projection.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    _, inputs, features = look(path, layer=-1, post_norm=True, unit=True, drop_cls=False)
    with torch.no_grad():
        kosmos.get_image_features(inputs.tensors["pixel_values"])
    torch.testing.assert_close(features.values, given[0], atol=1e-6, rtol=1e-5)


def test_pooled_and_projected_is_what_clip_compares_with_words(checkpoint: Find) -> None:
    path = checkpoint("clip")
    model = CLIPModel.from_pretrained(path)
    encoder, inputs, features = look(path, layer=None, pooled=True, projected=True)
    with torch.no_grad():
        expected = model.get_image_features(**inputs.tensors).pooler_output
    assert encoder.width == 8
    torch.testing.assert_close(features.values[:, 0], expected, atol=1e-6, rtol=1e-5)
    _, _, unit = look(path, layer=None, pooled=True, projected=True, unit=True)
    expected = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(unit.values[:, 0], expected, atol=1e-6, rtol=1e-5)


def test_pooled_is_what_siglip_pools(checkpoint: Find) -> None:
    path = checkpoint("siglip")
    _, inputs, features = look(path, layer=None, pooled=True)
    with torch.no_grad():
        expected = SiglipModel.from_pretrained(path).get_image_features(**inputs.tensors)
    torch.testing.assert_close(features.values[:, 0], expected.pooler_output, atol=1e-6, rtol=1e-5)


def test_tokens_are_normed_then_projected_as_llama_adapter_v2_reads_them(checkpoint: Find) -> None:
    path = checkpoint("clip")
    model = CLIPModel.from_pretrained(path)
    _, inputs, features = look(path, layer=-1, post_norm=True, projected=True, drop_cls=False)
    with torch.no_grad():
        tower = model.vision_model
        expected = model.visual_projection(
            tower.post_layernorm(tower(**inputs.tensors).last_hidden_state)
        )
    torch.testing.assert_close(features.values, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["siglip", "dinov2", "siglip2"])
def test_the_last_layer_with_its_norm_is_the_last_hidden_state(checkpoint: Find, name: str) -> None:
    path = checkpoint(name)
    normed = look(path, layer=-1, post_norm=True)[2].values
    torch.testing.assert_close(normed, look(path, layer=None)[2].values, atol=1e-6, rtol=1e-5)


def test_squares_and_their_layout_by_hand(checkpoint: Find) -> None:
    encoder, inputs, features = look(checkpoint("siglip"), order="blocks")
    rows = look(checkpoint("siglip"))[2].values[0]
    by_hand = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    torch.testing.assert_close(features.values[0], rows[by_hand])
    assert encoder.layout is not None
    layout = encoder.layout(inputs.tensors)
    assert (layout.before, layout.rows, layout.columns) == (0, 2, 8)
    told = outline("vision", None, checkpoint("siglip"), order="blocks").layout
    assert (told.before, told.rows, told.columns) == (0, 2, 8)


def test_a_pooled_patch_grid_comes_in_squares_too(checkpoint: Find) -> None:
    for name in ("clip", "siglip2"):
        pooled = look(checkpoint(name), pool=2)[2].values
        torch.testing.assert_close(look(checkpoint(name), pool=2, order="blocks")[2].values, pooled)


@pytest.mark.parametrize("name", ["internvl", "idefics3"])
def test_a_frame_is_one_window_where_pictures_are_cut(name: str, tmp_path: Path) -> None:
    save_larger(name, tmp_path)
    file = tmp_path / "preprocessor_config.json"
    told = json.loads(file.read_text()) | {"do_image_splitting": True}
    file.write_text(json.dumps(told))
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 90, 3), dtype=np.uint8)
    film = Video(frames=frames, times_s=np.arange(3.0), duration_s=3.0)
    encoder = build_encoder("frames", str(tmp_path), num_frames=3, pool=1)
    features = encoder(stack_inputs([encoder.preprocessor(film)]))
    assert features.steps.tolist() == [[0, 1, 2]]


def test_the_plan_counts_the_most_tiles(larger: Larger) -> None:
    told = outline("vision", None, larger("internvl")[0], order="blocks")
    assert (told.num_windows, told.num_features) == (4 + 1, 5 * 16)
    frames = outline("frames", None, larger("internvl")[0], num_frames=2)
    assert frames.num_windows == 2


def test_plan_reads_views_of_a_configuration_alone() -> None:
    clip = CLIPVisionConfig(**VIT, projection_dim=24)
    joined = outline("vision", clip, "some/clip", layer=[-2, 1])
    assert (joined.width, joined.num_features) == (32, 16)
    pooled = outline("vision", clip, "some/clip", layer=None, pooled=True, projected=True)
    assert (pooled.width, pooled.num_features) == (24, 1)
    internvl = InternVLVisionConfig(**(VIT | {"image_size": [32, 32], "patch_size": [8, 8]}))
    assert outline("vision", internvl, "some/internvl").num_features == 16
