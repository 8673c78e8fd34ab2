"""The shapes of the three small encoders, as untrained checkpoints in transformers' formats.

Sizes only; nothing is trained here.
"""

from pathlib import Path
from typing import Any

from transformers import (
    CLIPImageProcessorPil,
    ResNetConfig,
    ResNetModel,
    WhisperFeatureExtractor,
)

from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel

# The kind that `encoders.registry` builds from each design.
KINDS = {"image": "vision", "audio": "spectrogram", "imu": "imu_transformer"}
_PICTURE_SIDE = 64


def write_design(modality: str, folder: Path) -> None:
    """Save an untrained encoder, with its preprocessing, to a folder."""
    {"image": _write_vision, "audio": _write_spectrogram, "imu": _write_motion}[modality](folder)


def _write_vision(folder: Path) -> None:
    """A residual network: 64 x 64 pixels to a 4 x 4 grid of 192 numbers."""
    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[48, 96, 192], depths=[2, 2, 2], layer_type="basic"
    )
    ResNetModel(config).save_pretrained(folder)
    side = {"height": _PICTURE_SIDE, "width": _PICTURE_SIDE}
    CLIPImageProcessorPil(
        size=side,
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    ).save_pretrained(folder)


def _write_spectrogram(folder: Path) -> None:
    """A residual network over 3 s of log-mel bands: 64 x 200 to a 4 x 13 grid."""
    config = ResNetConfig(
        num_channels=1,
        embedding_size=32,
        hidden_sizes=[32, 64, 128],
        depths=[1, 1, 1],
        layer_type="basic",
    )
    ResNetModel(config).save_pretrained(folder)
    extractor: Any = WhisperFeatureExtractor
    extractor(
        feature_size=64, sampling_rate=16_000, hop_length=240, n_fft=512, chunk_length=3
    ).save_pretrained(folder)


def _write_motion(folder: Path) -> None:
    """A patch transformer with a convolutional stem: 2.56 s at 50 Hz to 16 patches."""
    config = ImuTransformerConfig(
        stem_layers=2,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        dropout=0.1,
    )
    ImuTransformerModel(config).save_pretrained(folder)
