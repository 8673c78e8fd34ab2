"""ImageBind's trunks: published names and shapes at full size, and the published arithmetic."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from encoders.imagebind.checkpoint import load_trunk, published_name
from encoders.imagebind.trunk import ImageBindShape, ImageBindTrunk, TrunkName

Find = Callable[[str], str]
TRUNKS: tuple[TrunkName, ...] = get_args(TrunkName)
WINDOWS = {"vision": (2, 3, 224, 224), "audio": (2, 1, 128, 204), "imu": (2, 6, 2000)}


def block(number: int, width: int) -> dict[str, tuple[int, ...]]:
    name = f"blocks.{number}"
    return {
        f"{name}.attn.in_proj_weight": (3 * width, width),
        f"{name}.attn.in_proj_bias": (3 * width,),
        f"{name}.attn.out_proj.weight": (width, width),
        f"{name}.attn.out_proj.bias": (width,),
        f"{name}.norm_1.weight": (width,),
        f"{name}.norm_1.bias": (width,),
        f"{name}.mlp.fc1.weight": (4 * width, width),
        f"{name}.mlp.fc1.bias": (4 * width,),
        f"{name}.mlp.fc2.weight": (width, 4 * width),
        f"{name}.mlp.fc2.bias": (width,),
        f"{name}.norm_2.weight": (width,),
        f"{name}.norm_2.bias": (width,),
    }


STEMS: dict[str, dict[str, tuple[int, ...]]] = {
    "vision": {
        "modality_preprocessors.vision.cls_token": (1, 1, 1280),
        "modality_preprocessors.vision.rgbt_stem.proj.1.weight": (1280, 3, 2, 14, 14),
        "modality_preprocessors.vision.pos_embedding_helper.pos_embed": (1, 257, 1280),
        "modality_trunks.vision.pre_transformer_layer.0.weight": (1280,),
        "modality_trunks.vision.pre_transformer_layer.0.bias": (1280,),
        "modality_heads.vision.0.weight": (1280,),
        "modality_heads.vision.0.bias": (1280,),
        "modality_heads.vision.2.weight": (1024, 1280),
    },
    "audio": {
        "modality_preprocessors.audio.cls_token": (1, 1, 768),
        "modality_preprocessors.audio.rgbt_stem.proj.weight": (768, 1, 16, 16),
        "modality_preprocessors.audio.rgbt_stem.norm_layer.weight": (768,),
        "modality_preprocessors.audio.rgbt_stem.norm_layer.bias": (768,),
        "modality_preprocessors.audio.pos_embedding_helper.pos_embed": (1, 229, 768),
        "modality_heads.audio.0.weight": (768,),
        "modality_heads.audio.0.bias": (768,),
        "modality_heads.audio.2.weight": (1024, 768),
        "modality_postprocessors.audio.1.log_logit_scale": (),
    },
    "imu": {
        "modality_preprocessors.imu.pos_embed": (1, 251, 512),
        "modality_preprocessors.imu.cls_token": (1, 1, 512),
        "modality_preprocessors.imu.imu_stem.proj.weight": (512, 48),
        "modality_preprocessors.imu.imu_stem.norm_layer.weight": (512,),
        "modality_preprocessors.imu.imu_stem.norm_layer.bias": (512,),
        "modality_heads.imu.0.weight": (512,),
        "modality_heads.imu.0.bias": (512,),
        "modality_heads.imu.3.weight": (1024, 512),
        "modality_postprocessors.imu.1.log_logit_scale": (),
    },
}


def published(name: TrunkName) -> dict[str, tuple[int, ...]]:
    """Names and shapes in `imagebind_huge.pth`, written out."""
    width, num_blocks = {"vision": (1280, 32), "audio": (768, 12), "imu": (512, 6)}[name]
    blocks: dict[str, tuple[int, ...]] = {}
    for number in range(num_blocks):
        blocks |= block(number, width)
        if name != "vision":
            blocks |= {f"blocks.{number}.attn.bias_{k}": (1, 1, width) for k in "kv"}
    return STEMS[name] | {f"modality_trunks.{name}.{own}": shape for own, shape in blocks.items()}


@pytest.mark.parametrize(
    ("name", "num_parameters"), [("vision", 632829440), ("audio", 86235648), ("imu", 19600384)]
)
def test_full_size_has_the_published_names_and_shapes(name: TrunkName, num_parameters: int) -> None:
    with torch.device("meta"):
        trunk = ImageBindTrunk(name, ImageBindShape())
    ours = {published_name(name, own): tuple(t.shape) for own, t in trunk.state_dict().items()}
    assert ours == published(name)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == num_parameters


def attend(tensors: dict[str, Tensor], hidden: Tensor, num_heads: int) -> Tensor:
    """Attention written out: softmax of scaled products, over the learned extra token too."""
    width = hidden.shape[-1]
    rows = F.linear(hidden, tensors["in_proj_weight"], tensors["in_proj_bias"])
    query, key, value = rows.split(width, dim=-1)
    if "bias_k" in tensors:
        key = torch.cat([key, tensors["bias_k"].expand(len(key), -1, -1)], dim=1)
        value = torch.cat([value, tensors["bias_v"].expand(len(value), -1, -1)], dim=1)
    query, key, value = (
        rows.unflatten(2, (num_heads, -1)).transpose(1, 2) for rows in (query, key, value)
    )
    weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
    mixed = (weights @ value).transpose(1, 2).flatten(2)
    return F.linear(mixed, tensors["out_proj.weight"], tensors["out_proj.bias"])


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    prefix += "."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def norm(tensors: dict[str, Tensor], name: str, hidden: Tensor, eps: float = 1e-6) -> Tensor:
    part = under(tensors, name)
    return F.layer_norm(hidden, hidden.shape[-1:], part["weight"], part["bias"], eps)


def first_tokens(name: TrunkName, tensors: dict[str, Tensor], window: Tensor) -> Tensor:
    """Patches cut out by hand, times the stem."""
    if name == "vision":
        cut = window[:, :, None].repeat(1, 1, 2, 1, 1)
        cut = cut.unfold(3, 14, 14).unfold(4, 14, 14)  # [W, 3, 2, 16, 16, 14, 14]
        rows = cut.permute(0, 3, 4, 1, 2, 5, 6).flatten(3).flatten(1, 2)
        return rows @ tensors["rgbt_stem.proj.1.weight"].flatten(1).T
    if name == "audio":
        cut = window[:, 0].unfold(1, 16, 10).unfold(2, 16, 10)  # [W, 12, 19, 16, 16]
        patches = cut.flatten(3).flatten(1, 2) @ tensors["rgbt_stem.proj.weight"].flatten(1).T
        return norm(tensors, "rgbt_stem.norm_layer", patches, 1e-5)
    stretches = [window[:, :, start : start + 8].flatten(1) for start in range(0, 2000, 8)]
    patches = torch.stack(stretches, dim=1) @ tensors["imu_stem.proj.weight"].T
    return norm(tensors, "imu_stem.norm_layer", patches, 1e-5)


@pytest.mark.parametrize("name", TRUNKS)
def test_trunk_equals_the_published_arithmetic(checkpoint: Find, name: TrunkName) -> None:
    path = checkpoint("imagebind")
    torch.manual_seed(1)
    window = torch.randn(WINDOWS[name])
    tensors = load_file(Path(path, "model.safetensors"))
    before = under(tensors, f"modality_preprocessors.{name}")
    hidden = first_tokens(name, before, window)
    hidden = torch.cat([before["cls_token"].expand(2, -1, -1), hidden], dim=1)
    hidden = hidden + (before.get("pos_embed", before.get("pos_embedding_helper.pos_embed")))
    inside = under(tensors, f"modality_trunks.{name}")
    if name == "vision":
        hidden = norm(inside, "pre_transformer_layer.0", hidden)
    for number in range(2):
        part = under(inside, f"blocks.{number}")
        hidden = hidden + attend(under(part, "attn"), norm(part, "norm_1", hidden), num_heads=2)
        inner = F.linear(norm(part, "norm_2", hidden), part["mlp.fc1.weight"], part["mlp.fc1.bias"])
        hidden = hidden + F.linear(F.gelu(inner), part["mlp.fc2.weight"], part["mlp.fc2.bias"])
    head = under(tensors, f"modality_heads.{name}")
    normed = norm(head, "0", hidden)
    embedding = normed[:, 0] @ head["3.weight" if name == "imu" else "2.weight"].T
    embedding = embedding / embedding.norm(dim=-1, keepdim=True)
    embedding = embedding * {"vision": 1.0, "audio": 20.0, "imu": 5.0}[name]
    with torch.no_grad():
        output = load_trunk(path, name).eval()(window)
    torch.testing.assert_close(output.hidden_states[-1], hidden, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.last_hidden_state, normed, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.pooler_output, embedding, atol=1e-5, rtol=1e-4)
