"""Tiny random checkpoints of BLIP-2 and InstructBLIP, written by transformers itself."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlamaConfig,
    OPTConfig,
)

from tests.systems.checkpoints import PATCH, SIDE, published_tokenizer, save_whole, text_sizes
from tests.tiny import BLOCKS

QFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 330,
    "max_position_embeddings": 60,
}
QUERIES = 5


def save_blip2(folder: Path, *, opt: bool = False, **qformer: Any) -> Path:
    """Save a BLIP-2 around a Llama, or an OPT.

    Args:
        folder: Where.
        opt: Which of the two.
        qformer: Changes to the Q-Former's sizes.

    Returns:
        The folder.
    """
    tokenizer = _tokenizer(folder)
    processor = Blip2Processor(_pictures(), tokenizer, num_query_tokens=QUERIES)
    model = Blip2ForConditionalGeneration(
        Blip2Config(**_sizes(processor.tokenizer, opt=opt, qformer=qformer))
    )
    return _save(model, processor, folder)


def save_instructblip(folder: Path, *, opt: bool = False, **qformer: Any) -> Path:
    """Save an InstructBLIP; see `save_blip2`."""
    tokenizer = _tokenizer(folder)
    words = published_tokenizer(folder.parent / "words", specials=())
    processor = InstructBlipProcessor(_pictures(), tokenizer, words, num_query_tokens=QUERIES)
    model = InstructBlipForConditionalGeneration(
        InstructBlipConfig(**_sizes(processor.tokenizer, opt=opt, qformer=qformer))
    )
    return _save(model, processor, folder)


def _tokenizer(folder: Path) -> Any:
    """A tokeniser that begins each text with its start token, as OPT's and Llama's do."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = published_tokenizer(folder)
    start = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.bos_token_id)]
    )
    return tokenizer


def _pictures() -> Any:
    return BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def _sizes(tokenizer: Any, *, opt: bool, qformer: dict[str, Any]) -> dict[str, Any]:
    """Of all parts."""
    torch.manual_seed(0)
    text = text_sizes(tokenizer)
    if opt:
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
        ends = ("bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings")
        text = {name: text[name] for name in (*names, *ends)}
        text |= {"ffn_dim": 96, "word_embed_proj_dim": text["hidden_size"], "init_std": 0.1}
    return {
        "text_config": (OPTConfig if opt else LlamaConfig)(**text).to_dict(),
        "vision_config": {**BLOCKS, "image_size": SIDE, "patch_size": PATCH},
        "qformer_config": QFORMER | qformer,
        "num_query_tokens": QUERIES,
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
    }


def _save(model: Any, processor: Any, folder: Path) -> Path:
    """Save with queries that are not all zero, as transformers would start them."""
    nn.init.normal_(model.query_tokens)
    return save_whole(model, processor, folder)
