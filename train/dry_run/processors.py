"""The preprocessing of stand-in encoders: what published checkpoints of each kind come with.

Knows file formats of transformers' processors; builds no model.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Halves of models, for which transformers lists no processor.
_HALVES = {
    "clip_vision_model": "CLIPImageProcessor",
    "siglip_vision_model": "SiglipImageProcessor",
}


def write_processor(kind: str, config: Any, folder: Path) -> None:
    """Write what an encoder reads beside its weights.

    Args:
        kind: A key of `encoders.registry.ENCODERS`.
        config: Of the checkpoint; its pictures and mel bands decide the numbers.
        folder: Of the checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind in _WRITERS:
        _WRITERS[kind](config, folder)


def _write_picture(config: Any, folder: Path) -> None:
    """Squares of the model's own size; the rest is the usual of the model's type."""
    config = getattr(config, "vision_config", config)
    side = getattr(config, "image_size", None)
    if isinstance(side, int):
        square = {"height": side, "width": side}
        options: dict[str, Any] = {"size": square, "crop_size": square}
    else:  # convolutional: any size will do
        options = {"size": {"shortest_edge": 224}}
    if config.model_type in _HALVES:
        options["image_processor_type"] = _HALVES[config.model_type]
    (folder / "preprocessor_config.json").write_text(json.dumps(options))


def _write_frames(config: Any, folder: Path) -> None:
    """Squares of the model's own size, from each frame of a clip."""
    config = getattr(config, "vision_config", config)
    side = getattr(config, "image_size", None) or config.crop_size
    square = {"height": side, "width": side}
    options = {"size": {"shortest_edge": side}, "crop_size": square}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(options))


def _write_clap(config: Any, folder: Path) -> None:
    """CLAP's mel bands; a fused checkpoint is told by its way to shorten."""
    from transformers import ClapFeatureExtractor

    config = getattr(config, "audio_config", config)
    truncation = "fusion" if config.enable_fusion else "rand_trunc"
    _save(ClapFeatureExtractor, folder, feature_size=config.num_mel_bins, truncation=truncation)


def _write_whisper(config: Any, folder: Path) -> None:
    """Whisper's mel bands."""
    from transformers import WhisperFeatureExtractor

    _save(WhisperFeatureExtractor, folder, feature_size=config.num_mel_bins)


def _write_ast(config: Any, folder: Path) -> None:
    """AST's mel bands."""
    from transformers import ASTFeatureExtractor

    _save(
        ASTFeatureExtractor,
        folder,
        num_mel_bins=config.num_mel_bins,
        max_length=config.max_length,
    )


def _write_spectrogram(config: Any, folder: Path) -> None:
    """Three seconds of mel bands, read by a convolutional model."""
    from transformers import WhisperFeatureExtractor

    _save(WhisperFeatureExtractor, folder, feature_size=64, chunk_length=3)


def _save(extractor: Any, folder: Path, **options: Any) -> None:
    """Save a feature extractor."""
    extractor(**options).save_pretrained(folder)


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "vision": _write_picture,
    "frames": _write_picture,
    "x_clip": _write_frames,
    "videomae": _write_frames,
    "vjepa2": _write_frames,
    "clap": _write_clap,
    "whisper": _write_whisper,
    "ast": _write_ast,
    "spectrogram": _write_spectrogram,
}
