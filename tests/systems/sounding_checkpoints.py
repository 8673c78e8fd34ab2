"""Tiny random checkpoints of published models that hear, written by transformers itself."""

import base64
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    VoxtralConfig,
    VoxtralEncoderConfig,
    VoxtralForConditionalGeneration,
    WhisperFeatureExtractor,
)

from anymal.llm.load import without_progress
from tests.systems.checkpoints import published_tokenizer, save_whole, text_sizes
from tests.tiny import save_audio, save_llm

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
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(**TOWER, **sizes, encoder_ffn_dim=24).to_dict(),
        text_config=Qwen2Config(**text_sizes(tokenizer, **changes)).to_dict(),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    processor = Qwen2AudioProcessor(
        one_second_of_mel(), tokenizer, chat_template=QWEN2_AUDIO_TEMPLATE
    )
    model = Qwen2AudioForConditionalGeneration(config)
    ends = tokenizer.convert_tokens_to_ids(["</s>", "<|im_end|>"])
    model.generation_config = GenerationConfig(eos_token_id=ends)
    return save_whole(model, processor, folder)


def save_tekken(folder: Path) -> None:
    """Save a vocabulary of bytes as Mistral does: the first of 32 special tokens as in Voxtral."""
    first = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    named = {11: "<pad>", 17: "[SYSTEM_PROMPT]", 18: "[/SYSTEM_PROMPT]", AUDIO: "[AUDIO]"}
    named |= {25: "[BEGIN_AUDIO]", **dict(enumerate(first))}
    specials = [
        {"rank": rank, "token_str": named.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(32)
    ]
    pieces = [bytes([byte]) for byte in range(256)]
    vocab = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces)
    ]
    config = {
        "pattern": r"\s+|\S+",
        "default_vocab_size": len(specials) + len(vocab),
        "default_num_special_tokens": len(specials),
        "version": "v7",
    }
    written = {"config": config, "vocab": vocab, "special_tokens": specials}
    (folder / "tekken.json").write_text(json.dumps(written))


AUDIO = 24  # Voxtral's placeholder


def save_voxtral(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a Voxtral whose files are those of the real one: no tokeniser but tekken.json.

    Args:
        folder: Where.
        seed: Of the weights.
        changes: To the language model's sizes.

    Returns:
        The folder.
    """
    torch.manual_seed(seed)
    folder.mkdir()
    save_tekken(folder)
    one_second_of_mel().save_pretrained(folder)
    text = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 11,
    }
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = VoxtralConfig(
        audio_config=VoxtralEncoderConfig(**TOWER, **sizes, intermediate_size=80).to_dict(),
        text_config=LlamaConfig(**(text | changes)).to_dict(),
        audio_token_id=AUDIO,
    )
    model = VoxtralForConditionalGeneration(config)
    with torch.no_grad(), without_progress():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
        model.save_pretrained(folder)
    return folder


# A template that takes contents as strings, as Llama's does.
STRINGS_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_ultravox(folder: Path, *, seed: int = 0, in_middle: bool = True, **changes: Any) -> Path:
    """Save an Ultravox: its projector, and beside it the language model and Whisper that it names.

    Args:
        folder: Where; `FOLDER-llm` and `FOLDER-whisper` come beside it.
        seed: Of the weights.
        in_middle: Whether the second norm is in the middle, as from version 0.5 on.
        changes: To `config.json`.

    Returns:
        The folder.
    """
    text, audio = (folder.with_name(f"{folder.name}-{name}") for name in ("llm", "whisper"))
    save_llm(text, seed=seed, eos_token_id=4)
    tokenizer = AutoTokenizer.from_pretrained(text, chat_template=STRINGS_TEMPLATE)
    save_audio(audio)
    tokenizer.save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    norms = {"ln_pre": 8 * 16, "ln_mid" if in_middle else "ln_post": 24 if in_middle else 64}
    sizes = {"linear_1": (48, 8 * 16), "linear_2": (64, 24)}
    weights = {
        name: 0.4 + 0.1 * torch.randn(size, generator=generator) for name, size in norms.items()
    }
    weights |= {name: 0.3 * torch.randn(size, generator=generator) for name, size in sizes.items()}
    named = {f"multi_modal_projector.{name}.weight": weight for name, weight in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["UltravoxModel"],
        "auto_map": {"AutoModel": "ultravox_model.UltravoxModel"},
        "model_type": "ultravox",
        "text_model_id": str(text),
        "audio_model_id": str(audio),
        "hidden_size": 48,
        "stack_factor": 8,
        "projector_act": "swiglu",
        "projector_ln_mid": in_middle,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "ultravox_model.py").write_text("raise SystemExit('remote code ran')")
    return folder
