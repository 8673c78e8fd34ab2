"""Tiny random checkpoints whose layers read pictures beside the row, written by transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    IdeficsConfig,
    IdeficsForVisionText2Text,
    IdeficsImageProcessorPil,
    IdeficsProcessor,
)

from tests.systems.checkpoints import PATCH, SIDE, published_tokenizer, save_whole, text_sizes

TOWER = {
    "embed_dim": 16,
    "image_size": SIDE,
    "patch_size": PATCH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
RESAMPLER = {
    "resampler_depth": 2,
    "resampler_n_heads": 2,
    "resampler_head_dim": 8,
    "resampler_n_latents": 6,
}
_ADDED = ("<fake_token_around_image>", "<image>")  # words that stand in a table of their own


def save_idefics(
    folder: Path,
    *,
    specials: tuple[str, ...] = ("<end_of_utterance>",),
    normalised: bool = True,
    **changes: Any,
) -> Path:
    """Save an Idefics with open gates.

    Args:
        folder: Where.
        specials: Of the tokeniser, besides those of pictures.
        normalised: Whether heads are, of blocks and resampler.
        changes: To the configuration.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder, specials=[*specials, *_ADDED])
    sizes = text_sizes(tokenizer, num_hidden_layers=4, vocab_size=len(tokenizer) - len(_ADDED))
    sizes.pop("num_key_value_heads")
    options: dict[str, Any] = {
        "additional_vocab_size": len(_ADDED),
        "cross_layer_interval": 2,
        "alpha_type": "vector",
        "alpha_initializer": "ones",
        "use_resampler": True,
    }
    config = IdeficsConfig(
        **sizes,
        vision_config=TOWER,
        perceiver_config=RESAMPLER | {"qk_layer_norms_perceiver": normalised},
        qk_layer_norms=normalised,
        **(options | changes),
    )
    processor: Any = IdeficsProcessor(  # type: ignore[no-untyped-call]
        IdeficsImageProcessorPil(image_size=SIDE), tokenizer, image_size=SIDE
    )
    torch.manual_seed(0)
    return save_whole(IdeficsForVisionText2Text(config), processor, folder)
