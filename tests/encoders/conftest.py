"""Tiny random checkpoints of the real transformers classes, one folder each."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
    Siglip2ImageProcessorPil,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    VideoMAEConfig,
    VideoMAEImageProcessorPil,
    VideoMAEModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
    VJEPA2Config,
    VJEPA2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
    XCLIPConfig,
    XCLIPModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from encoders.imagebind.checkpoint import save_random
from encoders.imagebind.trunk import ImageBindShape
from encoders.imu.imu2clip import Imu2ClipConfig, Imu2ClipModel
from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel
from encoders.signals import Audio, Image, Motion, Signal, Video
from tests.encoders.cut_pictures import CUT_PICTURES
from tests.encoders.sound_towers import SOUND_TOWERS

SIZE = {"height": 32, "width": 32}
BLOCKS = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
TEXT = BLOCKS | {"vocab_size": 50, "max_position_embeddings": 20}
VIT = BLOCKS | {"image_size": 32, "patch_size": 8}


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> Iterator[None]:
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(before)
    transformers.utils.logging.enable_progress_bar()


def whisper_config(**changes: Any) -> WhisperConfig:
    sizes = {
        "num_mel_bins": 20,
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 24,
        "vocab_size": 50,
        "max_source_positions": 50,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }
    return WhisperConfig(**(sizes | changes))


def clap_config(**changes: Any) -> ClapConfig:
    sizes = {
        "num_mel_bins": 16,
        "spec_size": 64,
        "window_size": 4,
        "hidden_size": 32,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 1, 1],
        "projection_dim": 8,
    }
    text = ClapTextConfig(**TEXT, projection_dim=8)
    audio = ClapAudioConfig(**(sizes | changes))
    return ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict())


def clap_extractor(**changes: Any) -> ClapFeatureExtractor:
    options = {"feature_size": 16, "sampling_rate": 8000, "hop_length": 80, "max_length_s": 2}
    return ClapFeatureExtractor(**(options | {"frequency_max": 4000, **changes}))


def clip_config() -> CLIPConfig:
    return CLIPConfig(text_config=TEXT, vision_config=VIT, projection_dim=8)


def x_clip_config() -> XCLIPConfig:
    vision = VIT | {"num_frames": 4, "mit_hidden_size": 16, "mit_num_attention_heads": 2}
    sizes = {"projection_dim": 8, "prompt_layers": 1, "prompt_num_attention_heads": 2}
    return XCLIPConfig(text_config=TEXT, vision_config=vision, **sizes)


def videomae_config() -> VideoMAEConfig:
    return VideoMAEConfig(**VIT, num_frames=4, use_mean_pooling=False)


def vjepa2_config() -> VJEPA2Config:
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    predictor = {
        "pred_hidden_size": 24,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
        "pred_num_mask_tokens": 1,
    }
    return VJEPA2Config(**sizes, **predictor, patch_size=8, crop_size=32, frames_per_clip=4)


def resnet_config(num_channels: int = 3) -> ResNetConfig:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    return ResNetConfig(**sizes, layer_type="basic", num_channels=num_channels)


def siglip2_config() -> Siglip2VisionConfig:
    return Siglip2VisionConfig(**BLOCKS, patch_size=8, num_patches=16)


CLIP_PICTURES = {"size": {"shortest_edge": 32}, "crop_size": SIZE}

# name -> the model and its processor
CHECKPOINTS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "clip": lambda: (CLIPModel(clip_config()), CLIPImageProcessorPil(**CLIP_PICTURES)),
    "clip_vision": lambda: (
        CLIPVisionModel(CLIPVisionConfig(**VIT)),
        CLIPImageProcessorPil(**CLIP_PICTURES),
    ),
    **CUT_PICTURES,
    "siglip": lambda: (
        SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VIT)),
        SiglipImageProcessorPil(size=SIZE),
    ),
    "siglip2": lambda: (
        Siglip2VisionModel(siglip2_config()),
        Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16),
    ),
    "dinov2": lambda: (Dinov2Model(Dinov2Config(**VIT)), ViTImageProcessorPil(size=SIZE)),
    "vit": lambda: (ViTModel(ViTConfig(**VIT)), ViTImageProcessorPil(size=SIZE)),
    "resnet": lambda: (
        ResNetModel(resnet_config()),
        ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "x_clip": lambda: (XCLIPModel(x_clip_config()), VideoMAEImageProcessorPil(**CLIP_PICTURES)),
    "videomae": lambda: (
        VideoMAEModel(videomae_config()),
        VideoMAEImageProcessorPil(**CLIP_PICTURES),
    ),
    "vjepa2": lambda: (VJEPA2Model(vjepa2_config()),),
    "clap": lambda: (ClapModel(clap_config()), clap_extractor(truncation="rand_trunc")),
    "clap_fused": lambda: (
        ClapModel(clap_config(enable_fusion=True)),
        clap_extractor(truncation="fusion"),
    ),
    "whisper": lambda: (
        WhisperModel(whisper_config()),
        WhisperFeatureExtractor(feature_size=20, chunk_length=1),
    ),
    "whisper_encoder": lambda: (
        WhisperEncoder(whisper_config()),
        WhisperFeatureExtractor(feature_size=20, chunk_length=1),
    ),
    **SOUND_TOWERS,
    "spectrogram": lambda: (
        ResNetModel(resnet_config(num_channels=1)),
        WhisperFeatureExtractor(feature_size=32, chunk_length=1),
    ),
    "ast": lambda: (
        ASTModel(ASTConfig(**BLOCKS, patch_size=8, max_length=100, num_mel_bins=20)),
        ASTFeatureExtractor(max_length=100, num_mel_bins=20),
    ),
    "imu_transformer": lambda: (
        ImuTransformerModel(ImuTransformerConfig(**BLOCKS, stem_layers=1, window_samples=64)),
    ),
    "imu2clip": lambda: (
        Imu2ClipModel(
            Imu2ClipConfig(rate_hz=50, window_samples=128, pool_size=2, conv_size=8, hidden_size=16)
        ),
    ),
}
VJEPA2_PICTURES = {
    "video_processor_type": "VJEPA2VideoProcessor",
    "size": {"shortest_edge": 36},
    "crop_size": SIZE,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def save_checkpoint(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    if name == "imagebind":
        save_random(folder, ImageBindShape.tiny())
        return folder
    for part in CHECKPOINTS[name]():
        if isinstance(part, torch.nn.Module):
            # Biases, positions and missing-channel embeddings start at zero; give them a say.
            for parameter in part.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        part.save_pretrained(folder)
    if name == "vjepa2":
        (folder / "video_preprocessor_config.json").write_text(json.dumps(VJEPA2_PICTURES))
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """From a name in CHECKPOINTS, or imagebind, to its folder, written once."""
    folders: dict[str, Path] = {}

    def find(name: str) -> str:
        if name not in folders:
            folders[name] = save_checkpoint(name, tmp_path_factory.mktemp(name))
        return str(folders[name])

    return find


def image(height: int = 40, width: int = 50, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image(pixels=pixels)


def video(num_frames: int = 6, seed: int = 0) -> Video:
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (num_frames, 40, 50, 3), dtype=np.uint8)
    times = np.arange(num_frames) / 2
    return Video(frames=frames, times_s=times, duration_s=num_frames / 2)


def audio(seconds: float = 1.0, rate_hz: int = 16000, seed: int = 0) -> Audio:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate_hz))
    return Audio(samples=noise.astype(np.float32), rate_hz=rate_hz)


def motion(
    seconds: float = 1.28, rate_hz: float = 50.0, seed: int = 0, has_rotation: bool = True
) -> Motion:
    samples = np.random.default_rng(seed).normal(size=(round(seconds * rate_hz), 6))
    present = np.array([True] * 3 + [has_rotation] * 3)
    samples[:, 2] += 9.81
    samples[:, ~present] = 0
    return Motion(samples=samples.astype(np.float32), rate_hz=rate_hz, present=present)


@pytest.fixture(name="signals")
def _signals() -> Callable[[str], list[Signal]]:
    """A short, a middling and a long signal for an encoder kind."""

    def make(kind: str) -> list[Signal]:
        if kind in ("vision", "tiles", "pixels", "imagebind_vision"):
            return [image(40, 50, 0), image(64, 30, 1), image(3, 3, 2)]
        if kind in ("frames", "x_clip", "videomae", "vjepa2"):
            return [video(1, 0), video(6, 1), video(3, 2)]
        if kind in ("clap", "whisper", "ast", "spectrogram", "imagebind_audio"):
            return [audio(0.3, 8000, 0), audio(2.5, 16000, 1), audio(1.3, 44100, 2)]
        return [motion(0.4, 50, 0), motion(6.0, 100, 1), motion(2.0, 50, 2, has_rotation=False)]

    return make
