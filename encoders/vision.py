"""Images through a pretrained vision tower: CLIP, SigLIP, DINOv2, any ViT-like or convolutional.

Returns patch tokens of one layer, never the pooled vector. Does not decode images.

Shapes: W pictures, P tokens per picture, h x w patch grid, D_enc encoder width.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, CLIPVisionConfig, PreTrainedModel

from encoders.base import EncoderError
from encoders.checkpoint import load_checkpoint, random_model, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates, hidden_layer
from encoders.images import (
    ImagePreprocessor,
    load_image_processor,
    process_pictures,
    write_image_processor,
)
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import PatchLayout

# Parts that follow the last layer's tokens; a checkpoint may lack them, features do not need them.
_HEADS = ("pooler", "head")
# Published processors crop to this, though the positions were learned on larger pictures.
_CROPPED = {"dinov2": 224, "dinov2_with_registers": 224}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTokens:
    """Reads the tokens of one layer as `[W, P, D_enc]`.

    Attributes:
        layer: index into the model's `hidden_states`; None is `last_hidden_state`.
        drop_cls: leave out what precedes the patches (class, distillation and register tokens).
        pool: average the patch grid to `pool x pool`; None keeps every patch.
    """

    layer: int | None
    drop_cls: bool
    pool: int | None

    def __call__(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the tokens of preprocessed pictures."""
        pixels = tensors["pixel_values"]
        output = model(**tensors, **_resizing(model, pixels), output_hidden_states=True)
        hidden = hidden_layer(output, self.layer)
        if hidden.ndim == 4:  # convolutional: [W, D_enc, h, w]
            return WindowStates(values=self._patches(hidden))
        if "spatial_shapes" in tensors:
            return self._ragged(hidden, tensors)
        height, width = _grid(model, pixels)
        num_prefix = hidden.shape[1] - height * width
        if num_prefix < 0:
            raise EncoderError(
                f"{type(model).__name__} has {hidden.shape[1]} tokens at layer {self.layer} for "
                f"{height} x {width} patches; choose a model that keeps its patch grid"
            )
        prefix, patches = hidden[:, :num_prefix], hidden[:, num_prefix:]
        grid = patches.transpose(1, 2).reshape(len(patches), -1, height, width)  # [W, D_enc, h, w]
        patches = self._patches(grid)
        return WindowStates(values=patches if self.drop_cls else torch.cat([prefix, patches], 1))

    def _patches(self, grid: Tensor) -> Tensor:
        """`[W, D_enc, h, w]` to `[W, P, D_enc]`, pooled if asked."""
        if self.pool is not None:
            if self.pool > min(grid.shape[2:]):
                raise EncoderError(
                    f"pool={self.pool} is larger than the patch grid {tuple(grid.shape[2:])}; "
                    "choose a smaller one or leave it out"
                )
            grid = F.adaptive_avg_pool2d(grid, self.pool)
        return grid.flatten(2).transpose(1, 2)

    def _ragged(self, hidden: Tensor, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Tokens of pictures that keep their aspect ratio, each with its own grid."""
        if self.pool is None:
            return WindowStates(values=hidden, mask=tensors["pixel_attention_mask"].bool())
        pooled = []
        for tokens, (height, width) in zip(hidden, tensors["spatial_shapes"].tolist(), strict=True):
            grid = tokens[: height * width].T.reshape(-1, height, width)
            pooled.append(F.adaptive_avg_pool2d(grid, self.pool).flatten(1).T)
        return WindowStates(values=torch.stack(pooled))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisionTower:
    """A loaded vision model with its image processor and the way to read it."""

    model: PreTrainedModel
    processor: Any
    read: ReadTokens
    width: int
    layout: PatchLayout | None
    ignored_weights: frozenset[str]


def load_vision_tower(
    path: str, *, layer: int | None, drop_cls: bool, pool: int | None, size: int | None
) -> VisionTower:
    """Load the vision model of a checkpoint, or the vision half of an image-text model.

    Args:
        path: a local folder or a Hub id.
        layer: index into the model's `hidden_states`, 0 being the embedding; None is
            `last_hidden_state`.
        drop_cls: leave out class and register tokens.
        pool: average the patch grid to `pool x pool`.
        size: pixels of the square the model sees; positions are interpolated to it.

    Returns:
        The tower, tried once on a blank picture.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    if pool is not None and pool < 1:
        raise EncoderError(f"pool={pool} must be at least 1")
    has_text = hasattr(AutoConfig.from_pretrained(path), "vision_config")
    checkpoint = load_checkpoint(
        AutoModel, path, tower="vision_model" if has_text else None, unused=_HEADS
    )
    model = checkpoint.model
    processor = load_image_processor(path, size=size)
    read = ReadTokens(layer=layer, drop_cls=drop_cls, pool=pool)
    blank = process_pictures(processor, np.zeros((1, 32, 32, 3), np.uint8))
    with torch.no_grad():
        _, num_tokens, width = read(model, blank).values.shape
    return VisionTower(
        model=model,
        processor=processor,
        read=read,
        width=width,
        layout=_layout(model, blank, read, num_tokens),
        ignored_weights=checkpoint.missing,
    )


def build_vision(
    path: str,
    *,
    layer: int | None = -2,
    drop_cls: bool = True,
    pool: int | None = None,
    size: int | None = None,
) -> FrozenEncoder:
    """An image encoder; see `load_vision_tower` for the options."""
    tower = load_vision_tower(path, layer=layer, drop_cls=drop_cls, pool=pool, size=size)
    return FrozenEncoder(
        kind="vision",
        model=tower.model,
        preprocessor=ImagePreprocessor(processor=tower.processor),
        read=tower.read,
        width=tower.width,
        layout=tower.layout,
        ignored_weights=tower.ignored_weights,
    )


def _patches(model: Any, read: ReadTokens) -> PatchLayout:
    """The patches of a tower's pictures, without what precedes them."""
    patch = getattr(model.config, "patch_size", None) or 1
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    return PatchLayout(patch_size=sides, pool=read.pool)


def _layout(
    model: Any, blank: Mapping[str, Tensor], read: ReadTokens, num_tokens: int
) -> PatchLayout | None:
    """What layouts a tower's pictures have, told from the tokens that it makes of a blank one.

    None for a convolutional tower whose grid is kept, which depends on each of its layers.
    """
    patches = _patches(model, read)
    if "spatial_shapes" in blank:
        return patches
    before = num_tokens - patches(blank).count
    return replace(patches, before=before) if before >= 0 else None


def _resizing(model: Any, pixels: Tensor) -> dict[str, bool]:
    """Asks for interpolated positions where pictures are not of the model's own size."""
    own = getattr(model.config, "image_size", None)
    expected = (own, own) if isinstance(own, int) else tuple(own or ())
    takes_option = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    if takes_option and pixels.ndim == 4 and tuple(pixels.shape[2:]) != expected:
        return {"interpolate_pos_encoding": True}
    return {}


def _grid(model: Any, pixels: Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    patch = getattr(model.config, "patch_size", None)
    if patch is None:
        raise EncoderError(
            f"{type(model).__name__} has no patch_size; choose a ViT-like or convolutional model"
        )
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    return pixels.shape[2] // rows, pixels.shape[3] // columns


def unloaded_tower(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """A vision tower over one picture, or over one frame of a film."""
    model = random_model(getattr(config, "vision_config", config))
    window = _blank_picture(model.config, options)
    if "pixel_attention_mask" in window:
        _attend_everywhere(model)
    read = ReadTokens(layer=options["layer"], drop_cls=options["drop_cls"], pool=options["pool"])
    return Unloaded(
        model=model,
        read=read,
        window=window,
        num_windows=options.get("num_frames", 1),
        layout=_patches(model, read),
    )


def _attend_everywhere(model: Any) -> None:
    """Keep a model from looking into its mask, which holds no values on the meta device."""
    forward = model.forward
    model.forward = lambda pixel_attention_mask, **tensors: forward(
        pixel_attention_mask=None, **tensors
    )


def _blank_picture(config: Any, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """One blank picture as a vision tower takes it."""
    if Path(options["path"]).is_dir():
        with torch.device("cpu"):
            processor = load_image_processor(options["path"], size=options["size"])
            tensors = process_pictures(processor, np.zeros((1, 32, 32, 3), np.uint8))
        # The number of patches depends on the values of the grid, so it stays readable.
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


def save_random_tower(config: Any, folder: Path) -> nn.Module:
    """Write a vision model of random weights with an image processor."""
    model: nn.Module = save_random_model(config, folder)
    write_image_processor(getattr(config, "vision_config", config), folder)
    return model


VISION = EncoderKind(
    build=build_vision,
    unloaded=unloaded_tower,
    usual_config=CLIPVisionConfig,
    save_random=save_random_tower,
)
