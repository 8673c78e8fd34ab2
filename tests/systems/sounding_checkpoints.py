"""Tiny random checkpoints of published models that hear, written by transformers itself."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from tests.systems.checkpoints import published_tokenizer, save_whole, text_sizes

MEL, POSITIONS = 20, 50  # bands, and positions of a window of one second
TOWER = {"num_mel_bins": MEL, "max_source_positions": POSITIONS}
QWEN2_AUDIO_SPECIALS = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
# As Qwen2-Audio-7B-Instruct writes it: sounds are numbered, the system speaks first.
QWEN2_AUDIO_TEMPLATE = (
    "{% set sounds = namespace(count=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'audio' %}"
    "{% set sounds.count = sounds.count + 1 %}"
    "Audio {{ sounds.count }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def one_second_of_mel() -> WhisperFeatureExtractor:
    """The spectrogram of windows of one second."""
    return WhisperFeatureExtractor(feature_size=MEL, chunk_length=1)


def save_qwen2_audio(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a Qwen2-Audio.

    Args:
        folder: Where.
        seed: Of the weights.
        changes: To the language model's sizes.

    Returns:
        The folder.
    """
    tokenizer = published_tokenizer(folder, specials=QWEN2_AUDIO_SPECIALS)
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2}
    ends = {"eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>")}
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(**TOWER, **sizes, encoder_ffn_dim=24).to_dict(),
        text_config=Qwen2Config(**text_sizes(tokenizer, **ends, **changes)).to_dict(),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    processor = Qwen2AudioProcessor(
        one_second_of_mel(), tokenizer, chat_template=QWEN2_AUDIO_TEMPLATE
    )
    return save_whole(Qwen2AudioForConditionalGeneration(config), processor, folder)
