"""Tiny random checkpoints of published models, written by transformers itself.

Configurations, tokeniser, processor and chat template are shaped like those of the real ones. Other
families have files of their own beside this one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from anymal.llm.load import without_progress
from tests.tiny import BLOCKS, save_tokenizer

SIDE, PATCH = 32, 8  # of pictures, in pixels
# As the checkpoints of llava-hf write it.
VICUNA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' ' }}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def published_tokenizer(folder: Path, *, specials: Sequence[str] = ("<image>",)) -> Any:
    """Save the byte-level tokeniser of `tests.tiny` with more special tokens, and load it."""
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(specials), special_tokens=True)
    return tokenizer


def text_sizes(tokenizer: Any, **changes: Any) -> dict[str, Any]:
    """Sizes of a two-layer language model whose words are far enough apart to have an opinion.

    Its table has more rows than the tokeniser has words, as those of published models do.
    """
    sizes = {
        "vocab_size": len(tokenizer) + 7,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.1,
    }
    return sizes | changes


def save_whole(model: Any, processor: Any, folder: Path, **options: Any) -> Path:
    """Save a model and its processor in one folder.

    Weights are drawn wide, so that pictures and sounds matter to what is said of them.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    with without_progress():
        model.save_pretrained(folder, **options)
    processor.save_pretrained(folder)
    return folder


def clip_config(**changes: Any) -> CLIPVisionConfig:
    """A CLIP tower of two layers for pictures of `SIDE` pixels."""
    sizes = {**BLOCKS, "image_size": SIDE, "patch_size": PATCH} | changes
    return CLIPVisionConfig(**sizes)


def clip_processor() -> CLIPImageProcessorPil:
    """Of the same tower: the shorter side is scaled, the middle is cut out."""
    square = {"height": SIDE, "width": SIDE}
    return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square)


def save_llava(
    folder: Path,
    *,
    seed: int = 0,
    text: type = LlamaConfig,
    text_changes: dict[str, Any] | None = None,
    vision: Any = None,
    dtype: torch.dtype = torch.float32,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Save a LLaVA as llava-hf does.

    Args:
        folder: Where.
        seed: Of the weights.
        text: Class of the language model's configuration.
        text_changes: To its sizes.
        vision: Configuration of the tower; CLIP's by default.
        dtype: To save in.
        options: Of `save_pretrained`.
        changes: To the configuration.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlavaConfig(
        vision_config=(vision or clip_config()).to_dict(),
        text_config=text(**text_sizes(tokenizer, **(text_changes or {}))).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        **changes,
    )
    strategy = config.vision_feature_select_strategy
    processor = LlavaProcessor(
        clip_processor(),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=int(vision is None),  # CLIP's class token
        chat_template=VICUNA_TEMPLATE,
    )
    model = LlavaForConditionalGeneration(config).to(dtype)
    return save_whole(model, processor, folder, **(options or {}))
