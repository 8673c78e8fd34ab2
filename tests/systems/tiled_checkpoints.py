"""Tiny random checkpoints of LLaVA-NeXT, as llava-hf publishes them."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
)

from tests.systems.checkpoints import (
    PATCH,
    SIDE,
    VICUNA_TEMPLATE,
    clip_config,
    published_tokenizer,
    save_whole,
    text_sizes,
)

# LLaVA-NeXT's sizes, in tiles: 1 x 2, 2 x 1, 2 x 2, 3 x 1, 1 x 3.
GRID = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE], [3 * SIDE, SIDE]]
GRID += [[SIDE, 3 * SIDE]]


def save_llava_next(
    folder: Path, *, text: type = LlamaConfig, vision: Any = None, **changes: Any
) -> Path:
    """Save a LLaVA-NeXT.

    Args:
        folder: Where.
        text: Class of the language model's configuration.
        vision: Configuration of the tower; CLIP's by default.
        changes: To the configuration.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder)
    torch.manual_seed(0)
    config = LlavaNextConfig(
        vision_config=(vision or clip_config()).to_dict(),
        text_config=text(**text_sizes(tokenizer)).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        **{"image_grid_pinpoints": GRID, **changes},
    )
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=config.image_grid_pinpoints,
    )
    strategy = config.vision_feature_select_strategy
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=int(strategy == "default"),
        chat_template=VICUNA_TEMPLATE,
    )
    return save_whole(LlavaNextForConditionalGeneration(config), processor, folder)
