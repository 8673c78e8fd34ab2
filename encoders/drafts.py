"""Each encoder kind without memory for its weights, and one blank window of what it takes.

`outline.py` asks here what an encoder would be; nothing here loads weights or decodes media. All
run under `torch.device("meta")`.

Shapes: W windows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    ASTModel,
    AutoModel,
    ClapAudioModel,
    VideoMAEModel,
    VJEPA2Model,
    WhisperFeatureExtractor,
    XCLIPVisionModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from encoders import ast, clap, clips, spectrogram, vision, whisper
from encoders.base import EncoderError
from encoders.frozen import Read
from encoders.imagebind.checkpoint import read_shape
from encoders.imagebind.encoder import read_trunk
from encoders.imagebind.trunk import (
    IMAGE_SIZE,
    IMU_CHANNELS,
    IMU_SAMPLES,
    NUM_MEL_FRAMES,
    NUM_MELS,
    ImageBindTrunk,
    TrunkName,
)
from encoders.images import load_image_processor, process_pictures
from encoders.imu import encoder as imu
from encoders.imu.imu2clip import Imu2ClipModel
from encoders.imu.transformer import ImuTransformerModel

# Published processors crop to this, though the positions were learned on larger pictures.
_CROPPED = {"dinov2": 224, "dinov2_with_registers": 224}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """An encoder kind without memory for its weights.

    Attributes:
        model: on the meta device.
        read: how features are read off it.
        tensors: one blank window of its input.
        num_windows: windows of the longest media item.
    """

    model: nn.Module
    read: Read
    tensors: Mapping[str, Tensor]
    num_windows: int


def _vision(config: Any, options: Mapping[str, Any]) -> Draft:
    """A vision tower over one picture, or over one frame of a film."""
    model = _model_of(getattr(config, "vision_config", config))
    tensors = _picture(model.config, options)
    if "pixel_attention_mask" in tensors:
        _attend_everywhere(model)
    return Draft(
        model=model,
        read=vision.ReadTokens(
            layer=options["layer"], drop_cls=options["drop_cls"], pool=options["pool"]
        ),
        tensors=tensors,
        num_windows=options.get("num_frames", 1),
    )


def _model_of(config: Any) -> Any:
    """The model class that transformers has for a configuration."""
    return AutoModel.from_config(config)  # type: ignore[no-untyped-call]  # untyped there


def _attend_everywhere(model: Any) -> None:
    """Keep a model from looking into its mask, which holds no values."""
    forward = model.forward
    model.forward = lambda pixel_attention_mask, **tensors: forward(
        pixel_attention_mask=None, **tensors
    )


def _picture(config: Any, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """One blank picture as a vision tower takes it."""
    if Path(options["path"]).is_dir():
        with torch.device("cpu"):
            processor = load_image_processor(options["path"], size=options["size"])
            tensors = process_pictures(processor, np.zeros((1, 32, 32, 3), np.uint8))
        # The grid stays where it can be read: the number of patches hangs on it.
        return {
            name: tensor if name == "spatial_shapes" else tensor.to("meta")
            for name, tensor in tensors.items()
        }
    side = options["size"] or _CROPPED.get(config.model_type, getattr(config, "image_size", None))
    if not isinstance(side, int):
        raise EncoderError(
            f"the configuration of '{options['path']}' does not say how large pictures are; "
            "give size, or a local folder with the checkpoint's processor"
        )
    return {"pixel_values": torch.zeros(1, 3, side, side)}


def _x_clip(config: Any, options: Mapping[str, Any]) -> Draft:
    """The vision half of X-CLIP."""
    config = getattr(config, "vision_config", config)
    return Draft(
        model=XCLIPVisionModel(config),
        read=clips.ReadFramewise(layer=options["layer"]),
        tensors=_clip(config.num_frames, config.image_size),
        num_windows=1,
    )


def _videomae(config: Any, options: Mapping[str, Any]) -> Draft:
    """VideoMAE without its decoder."""
    return Draft(
        model=VideoMAEModel(config),
        read=clips.read_videomae(config, layer=options["layer"]),
        tensors=_clip(config.num_frames, config.image_size),
        num_windows=1,
    )


def _vjepa2(config: Any, options: Mapping[str, Any]) -> Draft:
    """V-JEPA 2 without its predictor."""
    model: Any = VJEPA2Model(config)
    num_frames = clips.prepare_vjepa2(model, options["num_frames"])
    side = config.crop_size
    if Path(options["path"]).is_dir():
        side = clips.load_vjepa2_processor(options["path"]).crop_size["height"]
    return Draft(
        model=model,
        read=clips.read_vjepa2(config, layer=options["layer"]),
        tensors=_clip(num_frames, side),
        num_windows=1,
    )


def _clip(num_frames: int, side: int) -> dict[str, Tensor]:
    """One blank clip of square frames."""
    return {"clip": torch.zeros(1, num_frames, 3, side, side)}


def _clap(config: Any, options: Mapping[str, Any]) -> Draft:
    """The audio half of CLAP over its whole clip."""
    config = getattr(config, "audio_config", config)
    model: Any = ClapAudioModel(config)
    # No window is ever longer than the clip, so the path for longer ones is never taken.
    model.audio_encoder.enable_fusion = model.audio_encoder.patch_embed.enable_fusion = False
    num_frames = config.spec_size * config.spec_size // config.num_mel_bins
    return Draft(
        model=model,
        read=clap.ReadGrid(clip_samples=1),
        tensors={
            "input_features": torch.zeros(1, 1, num_frames, config.num_mel_bins),
            "num_real": torch.ones(1, dtype=torch.int64),
        },
        num_windows=options["max_windows"],
    )


def _whisper(config: Any, options: Mapping[str, Any]) -> Draft:
    """The encoder of Whisper over its whole chunk."""
    num_positions = config.max_source_positions
    num_frames = num_positions * whisper.FRAMES_PER_POSITION
    return Draft(
        model=WhisperEncoder(config),
        read=whisper.ReadPositions(layer=options["layer"]),
        tensors={
            "input_features": torch.zeros(1, config.num_mel_bins, num_frames),
            "real": torch.ones(1, num_positions, dtype=torch.bool),
        },
        num_windows=options["max_windows"],
    )


def _ast(config: Any, options: Mapping[str, Any]) -> Draft:
    """The Audio Spectrogram Transformer."""
    return Draft(
        model=ASTModel(config),
        read=ast.ReadPatches(layer=options["layer"]),
        tensors={
            "input_values": torch.zeros(1, config.max_length, config.num_mel_bins),
            "num_frames": torch.ones(1, dtype=torch.int64),
        },
        num_windows=options["max_windows"],
    )


def _spectrogram(config: Any, options: Mapping[str, Any]) -> Draft:
    """A convolutional model over the spectrogram that the checkpoint's extractor makes."""
    if not Path(options["path"]).is_dir():
        raise EncoderError(
            f"'{options['path']}' is no local folder; the spectrogram is described by the "
            "preprocessor_config.json in it"
        )
    extractor: Any = WhisperFeatureExtractor.from_pretrained(options["path"])
    num_frames = extractor.chunk_length * extractor.sampling_rate // extractor.hop_length
    num_positions = num_frames // whisper.FRAMES_PER_POSITION
    return Draft(
        model=_model_of(config),
        read=spectrogram.ReadGrid(layer=options["layer"]),
        tensors={
            "input_features": torch.zeros(1, extractor.feature_size, num_frames),
            "real": torch.ones(1, num_positions, dtype=torch.bool),
        },
        num_windows=options["max_windows"],
    )


def _imu_transformer(config: Any, options: Mapping[str, Any]) -> Draft:
    """The patch transformer over one window of motion."""
    return Draft(
        model=ImuTransformerModel(config),
        read=imu.ReadPatches(layer=options["layer"]),
        tensors=_motion(config),
        num_windows=options["max_windows"],
    )


def _imu2clip(config: Any, options: Mapping[str, Any]) -> Draft:
    """The IMU2CLIP stack over one window of motion."""
    return Draft(
        model=Imu2ClipModel(config),
        read=imu.ReadPositions(),
        tensors=_motion(config),
        num_windows=options["max_windows"],
    )


def _motion(config: Any) -> dict[str, Tensor]:
    """One blank window of motion."""
    return {
        "values": torch.zeros(1, 6, config.window_samples),
        "present": torch.ones(1, 6, dtype=torch.bool),
        "num_real": torch.ones(1, dtype=torch.int64),
    }


def _imagebind(name: TrunkName, options: Mapping[str, Any], window: Mapping[str, Tensor]) -> Draft:
    """One trunk of ImageBind, of the sizes that its folder says or the published ones."""
    return Draft(
        model=ImageBindTrunk(name, read_shape(options["path"])),
        read=read_trunk(
            name, layer=options["layer"], drop_cls=options["drop_cls"], pooled=options["pooled"]
        ),
        tensors=window,
        num_windows=options.get("num_clips", options.get("max_windows", 1)),
    )


def _imagebind_vision(_config: Any, options: Mapping[str, Any]) -> Draft:
    """The vision trunk over one picture."""
    return _imagebind(
        "vision", options, {"pixel_values": torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)}
    )


def _imagebind_audio(_config: Any, options: Mapping[str, Any]) -> Draft:
    """The audio trunk over one clip."""
    return _imagebind("audio", options, {"values": torch.zeros(1, 1, NUM_MELS, NUM_MEL_FRAMES)})


def _imagebind_imu(_config: Any, options: Mapping[str, Any]) -> Draft:
    """The IMU trunk over one window of motion."""
    return _imagebind("imu", options, {"values": torch.zeros(1, IMU_CHANNELS, IMU_SAMPLES)})


DRAFTS: dict[str, Callable[[Any, Mapping[str, Any]], Draft]] = {
    "vision": _vision,
    "frames": _vision,
    "x_clip": _x_clip,
    "videomae": _videomae,
    "vjepa2": _vjepa2,
    "clap": _clap,
    "whisper": _whisper,
    "ast": _ast,
    "spectrogram": _spectrogram,
    "imu_transformer": _imu_transformer,
    "imu2clip": _imu2clip,
    "imagebind_vision": _imagebind_vision,
    "imagebind_audio": _imagebind_audio,
    "imagebind_imu": _imagebind_imu,
}
