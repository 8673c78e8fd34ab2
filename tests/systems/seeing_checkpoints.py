"""Tiny random checkpoints of ViP-LLaVA, InternVL and Idefics3, written by transformers itself."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaProcessor,
    Qwen2Config,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from tests.systems.checkpoints import (
    PATCH,
    SIDE,
    VICUNA_TEMPLATE,
    clip_config,
    clip_processor,
    published_tokenizer,
    save_whole,
    text_sizes,
)
from tests.tiny import BLOCKS

TOWER = {**BLOCKS, "num_hidden_layers": 3}
SQUARE = {"height": SIDE, "width": SIDE}
# As OpenGVLab's InternVL3-hf writes it, without its system message.
INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INTERNVL_NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
# As HuggingFaceM4's Idefics3-8B-Llama3 writes it.
IDEFICS3_TEMPLATE = (
    "<|begin_of_text|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def save_vipllava(folder: Path, **changes: Any) -> Path:
    """Save a ViP-LLaVA whose projector reads three layers.

    Args:
        folder: Where.
        changes: To the configuration.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder)
    torch.manual_seed(0)
    config = VipLlavaConfig(
        vision_config=clip_config(num_hidden_layers=4),
        text_config=LlamaConfig(**text_sizes(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        **({"vision_feature_layers": [-2, 1, 3]} | changes),
    )
    processor = LlavaProcessor(
        clip_processor(),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA_TEMPLATE,
    )
    return save_whole(VipLlavaForConditionalGeneration(config), processor, folder)


def save_internvl(folder: Path, **changes: Any) -> Path:
    """Save an InternVL that cuts pictures into at most four tiles.

    Args:
        folder: Where.
        changes: To the configuration.

    Returns:
        The folder.
    """
    published_tokenizer(folder, specials=[]).save_pretrained(folder)
    auto: Any = AutoTokenizer
    tokenizer = auto.from_pretrained(folder, extra_special_tokens=INTERNVL_NAMES)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = INTERNVL_TEMPLATE
    torch.manual_seed(0)
    config = InternVLConfig(
        vision_config={**TOWER, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        text_config=Qwen2Config(**text_sizes(tokenizer)),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=(SIDE // PATCH // 2) ** 2,
        **changes,
    )
    model = InternVLForConditionalGeneration(config)
    with torch.no_grad():  # positions, and the weight of each layer, start at nothing
        for parameter in model.model.vision_tower.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    # The whole processor needs torchvision for its films; this is what it saves.
    image_processor = GotOcr2ImageProcessorPil(size=SQUARE, max_patches=4)
    save_whole(model, tokenizer, folder)
    options = {"processor_class": "InternVLProcessor", "image_seq_length": config.image_seq_length}
    whole = options | {"image_processor": json.loads(image_processor.to_json_string())}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    return folder


def save_idefics3(folder: Path, *, seq: int = 4, **changes: Any) -> Path:
    """Save an Idefics3 that would cut pictures into tiles.

    Args:
        folder: Where.
        seq: Soft tokens of a picture.
        changes: To the configuration.

    Returns:
        The folder.
    """
    specials = ["<|begin_of_text|>", "<global-img>", "<fake_token_around_image>", "<image>"]
    tokenizer = published_tokenizer(folder, specials=[*specials, "<end_of_utterance>"])
    image_processor = Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    processor = Idefics3Processor(
        image_processor, tokenizer, image_seq_len=seq, chat_template=IDEFICS3_TEMPLATE
    )
    torch.manual_seed(0)
    config = Idefics3Config(
        vision_config={**TOWER, "image_size": SIDE, "patch_size": PATCH},
        text_config=LlamaConfig(**text_sizes(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        **({"scale_factor": 2} | changes),
    )
    return save_whole(Idefics3ForConditionalGeneration(config), processor, folder)
