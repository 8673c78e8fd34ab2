"""Tiny random checkpoints of Kosmos-2, written by transformers itself."""

from pathlib import Path

import torch
from transformers import (
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
)

from tests.systems.checkpoints import PATCH, SIDE, clip_processor, published_tokenizer, save_whole
from tests.tiny import BLOCKS


def save_kosmos2(folder: Path, *, queries: int = 6) -> Path:
    """Save a Kosmos-2.

    Args:
        folder: Where.
        queries: Soft tokens of a picture.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder, specials=())
    processor = Kosmos2Processor(clip_processor(), tokenizer, num_patch_index_tokens=4)
    torch.manual_seed(0)
    text = {
        "vocab_size": len(processor.tokenizer) + 7,
        "embed_dim": 64,
        "attention_heads": 4,
        "layers": 2,
        "ffn_dim": 96,
        "max_position_embeddings": 512,
        "init_std": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**BLOCKS, "image_size": SIDE, "patch_size": PATCH}
    config = Kosmos2Config(text_config=text, vision_config=vision, latent_query_num=queries)
    return save_whole(Kosmos2ForConditionalGeneration(config), processor, folder)
