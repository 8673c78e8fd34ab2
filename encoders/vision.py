"""Images through a pretrained vision tower: CLIP, SigLIP, DINOv2, any ViT-like or convolutional.

Does not decode images; `encoders.vision_read` says what is read of a tower.

Shapes: W pictures, P features per picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, CLIPVisionConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from encoders.base import EncoderError, LayoutOf
from encoders.frozen import FrozenEncoder
from encoders.images import (
    ImagePreprocessor,
    load_image_processor,
    process_pictures,
    side_of,
)
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import PatchLayout, PooledLayout
from encoders.picture_limits import most_windows
from encoders.vision_read import Order, ReadTokens, check_post_norm
from encoders.vision_tower import load_tower, random_tower, save_random_tower, tower_config

# Published processors crop to this, though the positions were learned on larger pictures.
_CROPPED = {"dinov2": 224, "dinov2_with_registers": 224}
# An attention for which transformers makes no mask.
_UNMASKED = "anymal_unmasked"
_BLANK = np.zeros((1, 32, 32, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisionTower:
    """A loaded vision model with its image processor and the way to read it.

    `num_features` are those of a blank picture.
    """

    model: PreTrainedModel
    processor: Any
    read: ReadTokens
    width: int
    layout: LayoutOf | None
    num_features: int
    ignored_weights: frozenset[str]


def load_vision_tower(path: str, *, read: ReadTokens, size: int | None) -> VisionTower:
    """Load the vision model of a checkpoint, or the vision part of a larger model.

    Args:
        path: a local folder or a Hub id.
        read: what is read of it.
        size: pixels of the square the model sees; positions are interpolated to it.

    Returns:
        The tower, tried once on a blank picture.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    checkpoint = load_tower(path, read)
    model = checkpoint.model
    processor = load_image_processor(path, size=size)
    most_windows(processor)  # refuses too many
    blank = _first_window(process_pictures(processor, _BLANK))
    with torch.no_grad():
        check_post_norm(read, model, blank)
        _, num_features, width = read(model, blank).values.shape
    return VisionTower(
        model=model,
        processor=processor,
        read=read,
        width=width,
        layout=_layout(model, blank, read, num_features),
        num_features=num_features,
        ignored_weights=checkpoint.missing,
    )


def build_vision(
    path: str,
    *,
    layer: int | Sequence[int] | None = -2,
    drop_cls: bool = True,
    pool: int | None = None,
    pooled: bool = False,
    post_norm: bool = False,
    order: Order = "raster",
    block_size: int = 2,
    projected: bool = False,
    unit: bool = False,
    size: int | None = None,
) -> FrozenEncoder:
    """An image encoder; see `ReadTokens` and `load_vision_tower` for the options."""
    read = ReadTokens(
        layer=layer,
        drop_cls=drop_cls,
        pool=pool,
        pooled=pooled,
        post_norm=post_norm,
        order=order,
        block_size=block_size,
        projected=projected,
        unit=unit,
    )
    tower = load_vision_tower(path, read=read, size=size)
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
    patch = getattr(read.tower(model).config, "patch_size", None) or 1
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    block_size = read.block_size if read.order == "blocks" else 1
    return PatchLayout(patch_size=sides, pool=read.pool, block_size=block_size)


def _layout(
    model: Any, blank: Mapping[str, Tensor], read: ReadTokens, num_features: int
) -> LayoutOf | None:
    """What layouts a tower's pictures have, told from the features that it makes of a blank one.

    None for a convolutional tower whose grid is kept, which depends on each of its layers.
    """
    if read.pooled:
        return PooledLayout(argument="pixel_values")
    patches = _patches(model, read)
    if "spatial_shapes" in blank:
        return patches
    before = num_features - patches(blank).count
    return replace(patches, before=before) if before >= 0 else None


def unloaded_tower(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """A vision tower over one picture, or over the frames of a film."""
    read = ReadTokens(**{option.name: options[option.name] for option in fields(ReadTokens)})
    own = tower_config(config, projected=read.projected)
    model = random_tower(own, projected=read.projected)
    blank, num_windows = _blank_picture(own, options)
    _attend_everywhere(model, blank)
    check_post_norm(read, model, blank)
    return Unloaded(
        model=model,
        read=read,
        window=blank,
        num_windows=options.get("num_frames", num_windows),  # frames are not cut into tiles
        layout=None if read.pooled else _patches(model, read),
    )


def _attend_everywhere(model: Any, blank: Mapping[str, Tensor]) -> None:
    """Keep a model from looking into its mask, which holds no values on the meta device."""
    forward = model.forward
    if "pixel_attention_mask" in blank:
        model.forward = lambda pixel_attention_mask, **tensors: forward(
            pixel_attention_mask=None, **tensors
        )
    elif "patch_attention_mask" in signature(forward).parameters:  # made by the model itself
        AttentionInterface.register(_UNMASKED, sdpa_attention_forward)
        model.set_attn_implementation(_UNMASKED)


def _blank_picture(config: Any, options: Mapping[str, Any]) -> tuple[dict[str, Tensor], int]:
    """One window of a blank picture, and how many windows a picture has at most."""
    if Path(options["path"]).is_dir():
        with torch.device("cpu"):
            processor = load_image_processor(options["path"], size=options["size"])
            num_windows = most_windows(processor)  # refuses too many
            tensors = process_pictures(processor, _BLANK)
        # The number of patches depends on the values of the grid, so it stays readable.
        window = {
            name: tensor if name == "spatial_shapes" else tensor.to("meta")
            for name, tensor in _first_window(tensors).items()
        }
        return window, max(len(tensors["pixel_values"]), num_windows)
    own = getattr(config, "image_size", None)
    side = options["size"] or _CROPPED.get(config.model_type, side_of(own))
    if side is None:
        raise EncoderError(
            f"the configuration of '{options['path']}' does not say how large pictures are; "
            "give size, or a local folder with the checkpoint's processor"
        )
    return {"pixel_values": torch.zeros(1, 3, side, side)}, 1


def _first_window(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One window of a picture, of which a processor may make several."""
    return {name: tensor[:1] for name, tensor in tensors.items()}


VISION = EncoderKind(
    build=build_vision,
    unloaded=unloaded_tower,
    usual_config=CLIPVisionConfig,
    save_random=save_random_tower,
)
