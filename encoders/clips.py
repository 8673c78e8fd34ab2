"""Videos through a video model: X-CLIP, VideoMAE or V-JEPA 2; one clip of even frames per video.

Returns patch tokens with the index of the frame they begin at. Does not decode videos.

Shapes: W clips (one per video), T frames per clip, P tokens per clip, D_enc encoder width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    VideoMAEConfig,
    VideoMAEModel,
    VJEPA2Config,
    VJEPA2Model,
    XCLIPConfig,
    XCLIPModel,
    XCLIPVisionModel,
)

from encoders.base import EncoderError
from encoders.checkpoint import load_checkpoint, load_part, save_random_model
from encoders.frozen import FrozenEncoder, Read, WindowStates, check_layer, hidden_layer
from encoders.images import load_frame_processor, process_pictures, write_frame_processor
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import ClipLayout
from encoders.signals import Video
from encoders.times import FrameTimes
from encoders.video import uniform_frames

# What VideoMAE's and X-CLIP's processors do where a checkpoint does not say otherwise.
_VIDEOMAE_DEFAULTS = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}
_VJEPA2_DEFAULTS = {
    "size": {"shortest_edge": 292},
    "crop_size": {"height": 256, "width": 256},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPreprocessor:
    """From a `Video` to `clip` `[1, T, 3, H, W]`.

    Attributes:
        processor: a transformers image processor on the PIL backend.
        num_frames: T; a video with fewer frames repeats them in order.
    """

    processor: Any
    num_frames: int

    def __call__(self, signal: Video) -> dict[str, Tensor]:
        """Preprocess one video."""
        frames = uniform_frames(signal.frames, self.num_frames)
        return {"clip": process_pictures(self.processor, frames)["pixel_values"][None]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFramewise:
    """Reads an X-CLIP vision model, which takes frames as a batch, as `[W, P, D_enc]`."""

    layer: int | None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the patches of clips."""
        clip = tensors["clip"]
        output = model(pixel_values=clip.flatten(0, 1), output_hidden_states=True)
        patches = hidden_layer(output, self.layer)[:, 1:]  # without the class token
        return _by_frame(patches.reshape(len(clip), -1, patches.shape[-1]), clip.shape[1], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTubelets:
    """Reads a video model whose tokens cover a few frames each, as `[W, P, D_enc]`.

    Attributes:
        layer: index into `hidden_states`, or None for the last.
        argument: the name under which the model takes the clip.
        tubelet_size: frames per token.
    """

    layer: int | None
    argument: str
    tubelet_size: int

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the tubelets of clips."""
        clip = tensors["clip"]
        more = {"skip_predictor": True} if isinstance(model, VJEPA2Model) else {}
        output = model(**{self.argument: clip}, **more, output_hidden_states=True)
        tokens = hidden_layer(output, self.layer)
        return _by_frame(tokens, clip.shape[1] // self.tubelet_size, self.tubelet_size)


def build_x_clip(path: str, *, layer: int | None = None) -> FrozenEncoder:
    """A video encoder on an X-CLIP checkpoint, with or without its text half.

    Args:
        path: a local folder or a Hub id.
        layer: index into the vision model's `hidden_states`; None is the last.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if the model has no such layer.
    """
    checkpoint = load_part(path, part=XCLIPVisionModel, whole=XCLIPModel, tower="vision_model")
    config = checkpoint.model.config
    check_layer(layer, config.num_hidden_layers + 1)
    processor = load_frame_processor(path, defaults=_VIDEOMAE_DEFAULTS)
    return FrozenEncoder(
        kind="x_clip",
        model=checkpoint.model,
        preprocessor=ClipPreprocessor(processor=processor, num_frames=config.num_frames),
        read=ReadFramewise(layer=layer),
        width=config.hidden_size,
        **_told(config.num_frames, config.patch_size),
    )


def build_videomae(path: str, *, layer: int | None = None) -> FrozenEncoder:
    """A video encoder on a VideoMAE checkpoint.

    Args:
        path: a local folder or a Hub id.
        layer: index into the model's `hidden_states`; None is the last, normalised.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if the model has no such layer.
    """
    checkpoint = load_checkpoint(VideoMAEModel, path)
    config = checkpoint.model.config
    check_layer(layer, config.num_hidden_layers + 1)
    processor = load_frame_processor(path, defaults=_VIDEOMAE_DEFAULTS)
    return FrozenEncoder(
        kind="videomae",
        model=checkpoint.model,
        preprocessor=ClipPreprocessor(processor=processor, num_frames=config.num_frames),
        read=_read_videomae(config, layer),
        width=config.hidden_size,
        **_told(config.num_frames, config.patch_size, config.tubelet_size),
    )


def build_vjepa2(
    path: str, *, layer: int | None = None, num_frames: int | None = None
) -> FrozenEncoder:
    """A video encoder on a V-JEPA 2 checkpoint; its predictor is not used.

    Args:
        path: a local folder or a Hub id.
        layer: index into the encoder's `hidden_states`; None is the last, normalised.
        num_frames: frames per clip; None means as many as the checkpoint was trained with.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if `num_frames` is not a multiple of the model's tubelets, or the model has no
            such layer.
    """
    checkpoint = load_checkpoint(VJEPA2Model, path, unused=("predictor",))
    model: Any = checkpoint.model
    check_layer(layer, model.config.num_hidden_layers + 1)
    num_frames = _prepare_vjepa2(model, num_frames)
    return FrozenEncoder(
        kind="vjepa2",
        model=model,
        preprocessor=ClipPreprocessor(
            processor=_load_vjepa2_processor(path), num_frames=num_frames
        ),
        read=_read_vjepa2(model.config, layer),
        width=model.config.hidden_size,
        **_told(num_frames, model.config.patch_size, model.config.tubelet_size),
    )


def _told(num_frames: int, patch_size: int, tubelet_size: int = 1) -> dict[str, Any]:
    """What is known of a clip's patches before it is encoded; a short film repeats its frames."""
    layout = ClipLayout(patch_size=patch_size, tubelet_size=tubelet_size)
    times = FrameTimes(
        num_frames=num_frames, layout=layout, repeats=True, frames_together=tubelet_size
    )
    return {"layout": layout, "times": times}


def _read_videomae(config: Any, layer: int | None) -> ReadTubelets:
    return ReadTubelets(layer=layer, argument="pixel_values", tubelet_size=config.tubelet_size)


def _read_vjepa2(config: Any, layer: int | None) -> ReadTubelets:
    return ReadTubelets(
        layer=layer, argument="pixel_values_videos", tubelet_size=config.tubelet_size
    )


def _prepare_vjepa2(model: Any, num_frames: int | None) -> int:
    """Take the predictor off a `VJEPA2Model`, and say how many frames its clips have.

    Args:
        model: the model, changed in place.
        num_frames: as asked for; None means as many as it was trained with.

    Returns:
        The number of frames.

    Raises:
        EncoderError: if it is not a multiple of the model's tubelets.
    """
    model.predictor = None
    config = model.config
    num_frames = config.frames_per_clip if num_frames is None else num_frames
    if num_frames < 1 or num_frames % config.tubelet_size:
        raise EncoderError(
            f"num_frames={num_frames} must be a positive multiple of {config.tubelet_size}, "
            "the frames that one token covers"
        )
    return num_frames


def _load_vjepa2_processor(path: str) -> Any:
    """What a V-JEPA 2 checkpoint does to each frame."""
    return load_frame_processor(path, defaults=_VJEPA2_DEFAULTS)


def _by_frame(tokens: Tensor, num_times: int, frames_per_time: int) -> WindowStates:
    """Tokens `[W, P, D_enc]`, time by time, with the frame that each begins at."""
    times = torch.arange(num_times, device=tokens.device) * frames_per_time
    steps = times.repeat_interleave(tokens.shape[1] // num_times)
    return WindowStates(values=tokens, steps=steps.expand(len(tokens), -1))


def _unloaded_x_clip(config: Any, options: Mapping[str, Any]) -> Unloaded:
    config = getattr(config, "vision_config", config)
    read = ReadFramewise(layer=options["layer"])
    return _unloaded(XCLIPVisionModel(config), read, config.num_frames, config.image_size)


def _unloaded_videomae(config: Any, options: Mapping[str, Any]) -> Unloaded:
    read = _read_videomae(config, options["layer"])
    return _unloaded(VideoMAEModel(config), read, config.num_frames, config.image_size)


def _unloaded_vjepa2(config: Any, options: Mapping[str, Any]) -> Unloaded:
    model: Any = VJEPA2Model(config)
    num_frames = _prepare_vjepa2(model, options["num_frames"])
    side = config.crop_size
    if Path(options["path"]).is_dir():
        side = _load_vjepa2_processor(options["path"]).crop_size["height"]
    return _unloaded(model, _read_vjepa2(config, options["layer"]), num_frames, side)


def _unloaded(model: nn.Module, read: Read, num_frames: int, side: int) -> Unloaded:
    """A video model over one clip of square frames."""
    window = {"clip": torch.zeros(1, num_frames, 3, side, side)}
    return Unloaded(model=model, read=read, window=window, num_windows=1)


def _save_random(config: Any, folder: Path) -> nn.Module:
    """Write a model of random weights with a processor of frames of its own size."""
    model: nn.Module = save_random_model(config, folder)
    vision = getattr(config, "vision_config", config)
    write_frame_processor(getattr(vision, "image_size", None) or vision.crop_size, folder)
    return model


X_CLIP = EncoderKind(
    build=build_x_clip,
    unloaded=_unloaded_x_clip,
    usual_config=XCLIPConfig,
    save_random=_save_random,
)
VIDEOMAE = EncoderKind(
    build=build_videomae,
    unloaded=_unloaded_videomae,
    usual_config=VideoMAEConfig,
    save_random=_save_random,
)
VJEPA2 = EncoderKind(
    build=build_vjepa2,
    unloaded=_unloaded_vjepa2,
    usual_config=VJEPA2Config,
    save_random=_save_random,
)
