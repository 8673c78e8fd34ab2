"""Tiny random checkpoints in the layout of LLaVA's own code, as its training scripts write them."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from anymal.llm.load import without_progress
from tests.systems.checkpoints import PATCH, clip_config, clip_processor, text_sizes
from tests.tiny import BLOCKS, save_tokenizer


def save_original(
    folder: Path,
    *,
    projector: str = "mlp2x_gelu",
    shards: int = 1,
    pickles: bool = False,
    trains_tower: bool = False,
    legacy: bool = False,
    dtype: torch.dtype = torch.float32,
    text_changes: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Save a LLaVA in the original layout, its tower in the folder `tower` beside it.

    Args:
        folder: Where.
        projector: `mm_projector_type`.
        shards: Files of weights.
        pickles: Write `pytorch_model.bin`, not safetensors.
        trains_tower: Write a tower that was trained beside the language model, too.
        legacy: Write pickles as torch did before it wrote archives.
        dtype: To save in.
        text_changes: To the sizes of the language model.
        config: More keys of `config.json`.

    Returns:
        The folder.
    """
    torch.manual_seed(0)
    tower = save_tower(folder.parent / "tower")
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = LlamaConfig(
        **text_sizes(tokenizer, **{"vocab_size": len(tokenizer), **(text_changes or {})})
    )
    llm = LlamaForCausalLM(text)
    width, text_width = BLOCKS["hidden_size"], text.hidden_size
    first, second = nn.Linear(width, text_width), nn.Linear(text_width, text_width)
    weights = {name: 2 * tensor for name, tensor in llm.state_dict().items()}
    if projector == "linear":
        weights |= {f"model.mm_projector.{k}": 3 * v for k, v in first.state_dict().items()}
    else:
        for number, layer in ((0, first), (2, second)):
            own = layer.state_dict()
            weights |= {f"model.mm_projector.{number}.{k}": 3 * v for k, v in own.items()}
    if trains_tower:
        trained = CLIPModel.from_pretrained(tower).vision_model.state_dict()
        prefix = "model.vision_tower.vision_tower.vision_model."
        weights |= {f"{prefix}{name}": 1.5 * tensor for name, tensor in trained.items()}
    kinds = {tensor: tensor.to(dtype).contiguous() for tensor in weights.values()}
    weights = {name: kinds[tensor] for name, tensor in weights.items()}
    _save(weights, folder, shards=shards, pickles=pickles, legacy=legacy)
    written = text.to_dict() | {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "mm_vision_tower": str(tower),
        "mm_projector_type": projector,
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_hidden_size": width,
        "mm_use_im_start_end": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
    (folder / "config.json").write_text(json.dumps(written | config))
    return folder


def as_class(folder: Path, out: Path) -> Path:
    """The same model as a checkpoint of transformers, its weights renamed here one by one.

    A projector of one layer becomes two, of which the second changes nothing.
    """
    text = LlamaConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    tower = CLIPModel.from_pretrained(folder.parent / "tower").vision_model
    is_one = "model.mm_projector.weight" in weights
    names = {"": "linear_1"} if is_one else {"0.": "linear_1", "2.": "linear_2"}
    renamed = {f"model.vision_tower.{k}": v for k, v in tower.state_dict().items()}
    for name, tensor in weights.items():
        if name.startswith("model.mm_projector."):
            number, part = re.fullmatch(r"model.mm_projector.(\d\.)?(.*)", name).groups()
            name = f"model.multi_modal_projector.{names[number or '']}.{part}"
        elif name != "lm_head.weight":
            name = name.replace("model.", "model.language_model.", 1)
        renamed[name] = tensor
    if is_one:
        renamed["model.multi_modal_projector.linear_2.weight"] = torch.eye(text.hidden_size)
        renamed["model.multi_modal_projector.linear_2.bias"] = torch.zeros(text.hidden_size)
    config = LlavaConfig(
        vision_config=clip_config().to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.pad_token_id,
        projector_hidden_act="linear" if is_one else "gelu",
    )
    model = LlavaForConditionalGeneration(config)
    model.load_state_dict(renamed)
    with without_progress():
        model.save_pretrained(out)
    processor = LlavaProcessor(
        clip_processor(),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token=tokenizer.pad_token,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(out)
    return out


def save_tower(folder: Path) -> Path:
    """Save a whole CLIP, of which LLaVA uses the vision half."""
    text = CLIPTextConfig(**BLOCKS, vocab_size=20, max_position_embeddings=8, projection_dim=8)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=clip_config().to_dict(), projection_dim=8
    )
    with without_progress():
        CLIPModel(config).save_pretrained(folder)
    clip_processor().save_pretrained(folder)
    return folder


def _save(
    weights: dict[str, torch.Tensor], folder: Path, *, shards: int, pickles: bool, legacy: bool
) -> None:
    """Write files of weights, and their index where there are several."""
    stem, ending = ("pytorch_model", "bin") if pickles else ("model", "safetensors")
    weight_map = {}
    for number in range(shards):
        name = f"{stem}-{number + 1:05d}-of-{shards:05d}.{ending}"
        name = f"{stem}.{ending}" if shards == 1 else name
        part = dict(list(weights.items())[number::shards])
        weight_map |= dict.fromkeys(part, name)
        if pickles:
            torch.save(part, folder / name, _use_new_zipfile_serialization=not legacy)
        else:
            save_file(part, folder / name, metadata={"format": "pt"})
    if shards > 1:
        index = folder / f"{stem}.{ending}.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
