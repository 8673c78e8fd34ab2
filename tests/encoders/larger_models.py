"""Tiny random checkpoints of larger models of transformers that hold a vision tower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from tests.encoders.conftest import BLOCKS, CLIP_PICTURES, SIZE, VIT

LLAMA = LlamaConfig(**BLOCKS, vocab_size=50)
QUERIES = BLOCKS | {"cross_attention_frequency": 2, "encoder_hidden_size": 16, "vocab_size": 50}
QFORMER = {"vision_config": VIT, "qformer_config": QUERIES, "text_config": LLAMA.to_dict()}
BLIP_PICTURES = BlipImageProcessorPil(size=SIZE)

# name -> the model and its image processor
LARGER: dict[str, Callable[[], tuple[Any, Any]]] = {
    "vipllava": lambda: (
        VipLlavaForConditionalGeneration(
            VipLlavaConfig(
                vision_config=CLIPVisionConfig(**VIT),
                text_config=LLAMA,
                vision_feature_layers=[-2, 1, -1],
                image_token_index=49,
            )
        ),
        CLIPImageProcessorPil(**CLIP_PICTURES),
    ),
    "internvl": lambda: (
        InternVLForConditionalGeneration(
            InternVLConfig(
                vision_config=InternVLVisionConfig(
                    **(VIT | {"image_size": [32, 32], "patch_size": [8, 8]})
                ),
                text_config=LLAMA,
                image_token_id=49,
            )
        ),
        GotOcr2ImageProcessorPil(size=SIZE, crop_to_patches=True, max_patches=4),
    ),
    "idefics3": lambda: (
        Idefics3ForConditionalGeneration(
            Idefics3Config(
                vision_config=VIT,
                text_config=LLAMA,
                image_token_id=49,
                pad_token_id=0,
                scale_factor=2,
            )
        ),
        Idefics3ImageProcessorPil(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=False
        ),
    ),
    "blip_2": lambda: (
        Blip2ForConditionalGeneration(Blip2Config(**QFORMER, image_token_index=49)),
        BLIP_PICTURES,
    ),
    "instructblip": lambda: (
        InstructBlipForConditionalGeneration(InstructBlipConfig(**QFORMER, image_token_index=49)),
        BLIP_PICTURES,
    ),
}


def save_larger(name: str, folder: Path) -> Any:
    """Write a checkpoint of `LARGER`, and return its model."""
    torch.manual_seed(0)
    model, processor = LARGER[name]()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.eval()
