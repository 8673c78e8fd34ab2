"""Tiny random checkpoints in the formats of real ones, recipes of them, and records to ask about.

Heavy libraries are imported when a checkpoint is made. Does not hold fixtures.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SPECIALS = ("<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|eot|>")
CORPUS = ("[INST] What colour is it? [/INST] It is red. It is blue.", "USER: ASSISTANT: one two")
VOCABULARY = 320
BLOCKS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
PIXELS = 16
# Rows of one window of motion.
WINDOW = 64
ALIGNERS: dict[str, dict[str, Any]] = {
    "image": {"kind": "perceiver", "num_tokens": 32, "depth": 1, "num_heads": 2, "head_dim": 8},
    "video": {"kind": "linear", "num_tokens": 32},
    "audio": {"kind": "linear", "num_tokens": 32},
    "imu": {"kind": "linear", "num_tokens": 40},
}


def save_checkpoints(folder: Path) -> SimpleNamespace:
    """Save one checkpoint of each sort; returns their folders `llm`, `vision`, `audio`, `imu`."""
    from anymal.llm.load import without_progress

    with without_progress():
        return SimpleNamespace(
            llm=save_llm(folder / "llm"),
            vision=save_vision(folder / "vision"),
            audio=save_audio(folder / "audio"),
            imu=save_imu(folder / "imu"),
        )


def save_tokenizer(
    folder: Path, *, corpus: Sequence[str] = CORPUS, vocab_size: int = VOCABULARY
) -> None:
    """Save a byte-level BPE tokeniser, which can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        vocab_size=vocab_size,
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(corpus) * 3, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=list(SPECIALS[3:]),
    ).save_pretrained(folder)


def save_llm(
    folder: Path,
    *,
    seed: int = 0,
    corpus: Sequence[str] = CORPUS,
    vocab_size: int = VOCABULARY,
    **changes: Any,
) -> Path:
    """Save a random two-layer Llama, its embeddings wide enough apart to have an opinion.

    Args:
        folder: Where.
        seed: Of the weights.
        corpus: What the tokeniser is trained on.
        vocab_size: Of the tokeniser and the model.
        changes: To the configuration.

    Returns:
        The folder.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tokenizer(folder, corpus=corpus, vocab_size=vocab_size)
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**(sizes | changes))).save_pretrained(folder)
    return folder


def save_vision(folder: Path, *, seed: int = 0) -> Path:
    """Save a random CLIP vision tower for pictures of 16 pixels."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(seed)
    config = CLIPVisionConfig(**BLOCKS, image_size=PIXELS, patch_size=PIXELS // 2)
    CLIPVisionModel(config).save_pretrained(folder)
    size = {"height": PIXELS, "width": PIXELS}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    return folder


def save_audio(folder: Path) -> Path:
    """Save a random Whisper for sounds of one second."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(
        num_mel_bins=20,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        vocab_size=50,
        max_source_positions=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)
    return folder


def save_imu(folder: Path) -> Path:
    """Save a random transformer for motion."""
    import torch

    from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel

    torch.manual_seed(0)
    sizes = BLOCKS | {"num_hidden_layers": 1}
    config = ImuTransformerConfig(**sizes, stem_layers=1, window_samples=WINDOW)
    ImuTransformerModel(config).save_pretrained(folder)
    return folder


def model_section(
    checkpoints: SimpleNamespace,
    modalities: Sequence[str] = ("image", "imu"),
    *,
    aligner: dict[str, Any] | None = None,
    lora: dict[str, Any] | None = None,
    embed: bool = False,
    **llm: Any,
) -> dict[str, Any]:
    """The `model` section of a recipe.

    Args:
        checkpoints: What `save_checkpoints` returned.
        modalities: Which it has.
        aligner: The aligner of all modalities; None takes those of `ALIGNERS`.
        lora: The section of that name.
        embed: Whether a bundle takes the language model and encoders with it.
        llm: Changes to the section of that name.

    Returns:
        What a YAML file would hold.
    """
    encoders: dict[str, dict[str, Any]] = {
        "image": {"kind": "vision", "path": checkpoints.vision},
        "video": {"kind": "frames", "path": checkpoints.vision, "num_frames": 2},
        "audio": {"kind": "whisper", "path": checkpoints.audio},
        "imu": {"kind": "imu_transformer", "path": checkpoints.imu},
    }
    section = {"path": str(checkpoints.llm), "precision": "fp32", "template": "llama2"}
    return {
        "llm": section | {"embed": embed} | llm,
        "modalities": {
            name: {
                "encoder": encoders[name] | {"path": str(encoders[name]["path"]), "embed": embed},
                "aligner": aligner or ALIGNERS[name],
            }
            for name in modalities
        },
        "lora": lora,
    }


def talk(
    question: str,
    answer: str | None = None,
    *,
    images: Sequence[tuple[int, int, int]] = (),
    motions: int = 0,
) -> dict[str, Any]:
    """A record: `talk("What is it?", "Red.", images=[(255, 0, 0)], motions=1)`."""
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": png(colour)}} for colour in images
    ]
    for number in range(motions):
        samples = [[0.1 * number, 0.0, 9.8, 0.0, 0.01 * i, 0.0] for i in range(WINDOW)]
        parts.append({"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}})
    parts.append({"type": "text", "text": question})
    messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return {"id": question, "messages": messages}


def png(colour: tuple[int, int, int]) -> str:
    """A small picture of one colour as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
