"""Prepare pictures as a checkpoint's own image processor prescribes, without torchvision.

Holds no model; the options come from the checkpoint's `preprocessor_config.json`.

Shapes: W pictures, H height, C channels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import transformers
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPImageProcessorPil, PretrainedConfig
from transformers.models.auto import image_processing_auto
from transformers.utils.hub import cached_file

from encoders.base import EncoderError
from encoders.picture_limits import check_sides
from encoders.signals import Image

# model type -> {"pil": class name}, for checkpoints that do not name their processor.
_PORTABLE_NAMES: Mapping[str, Any] = vars(image_processing_auto)["IMAGE_PROCESSOR_MAPPING_NAMES"]


class _Place(NamedTuple):
    """Where a checkpoint may keep its options."""

    file: str
    section: str | None


# Halves of models, for which transformers lists no processor.
_HALVES = {
    "clip_vision_model": "CLIPImageProcessor",
    "siglip_vision_model": "SiglipImageProcessor",
    "metaclip_2_vision_model": "CLIPImageProcessor",
    "blip_2_vision_model": "BlipImageProcessor",
    "instructblip_vision_model": "BlipImageProcessor",
    "internvl_vision": "GotOcr2ImageProcessor",
    "idefics3_vision": "SiglipImageProcessor",
}
# In order of preference.
_IMAGE_OPTIONS = (
    _Place("processor_config.json", "image_processor"),
    _Place("preprocessor_config.json", None),
)
_FRAME_OPTIONS = (
    _Place("video_preprocessor_config.json", None),
    _Place("processor_config.json", "video_processor"),
    *_IMAGE_OPTIONS,
)
# Its presence says that a processor cuts pictures into tiles, as `encoders.tile_processor` does.
GRID = "image_grid_pinpoints"
# What other processors call the option to do so themselves.
_CUTS = ("crop_to_patches", "do_image_splitting")
_FRAME_STEPS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePreprocessor:
    """From an `Image` to the model's tensors, W = 1.

    Attributes:
        processor: a transformers image processor on the PIL backend.
    """

    processor: Any

    def __call__(self, signal: Image) -> dict[str, Tensor]:
        """Preprocess one image."""
        return process_pictures(self.processor, signal.pixels[None])


def process_pictures(processor: Any, pictures: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Run an image processor.

    Args:
        processor: a transformers image processor.
        pictures: `[W, H, W, 3]` uint8 RGB.

    Returns:
        The model's inputs, such as `pixel_values` `[W, C, H, W]` float32. A processor that cuts
        pictures into tiles gives each tile a window.

    Raises:
        EncoderError: if pictures are padded in a way that the model cannot be told.
    """
    # The layout is named because a picture of 1 or 3 rows looks like channels-first.
    batch = processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt")
    tensors = {name: batch[name] for name in processor.model_input_names if name in batch}
    if "pixel_attention_mask" in tensors and tensors["pixel_values"].ndim == 5:
        return _unnested(tensors)
    return tensors


def undivided(processor: Any) -> Any:
    """The same image processor, which does not cut pictures into tiles."""
    cuts = {name: False for name in _CUTS if getattr(processor, name, False)}
    return type(processor)(**(processor.to_dict() | cuts)) if cuts else processor


def side_of(size: Any) -> int | None:
    """The side of a square, told as one number or as two; None if it is none."""
    sides = {size} if isinstance(size, int) else set(size or ())
    return sides.pop() if len(sides) == 1 else None


def load_image_processor(path: str, *, size: int | None = None) -> Any:
    """Load a checkpoint's image processor on the PIL backend.

    Of one that cuts pictures into tiles, these are the steps of a single view; see
    `encoders.tile_processor`.

    Args:
        path: a local folder or a Hub id.
        size: pixels of the square the model shall see; None keeps the checkpoint's own.

    Returns:
        A transformers image processor.

    Raises:
        EncoderError: if there is none, if its pictures are too large, or if `size` cannot be
            applied to it.
    """
    processor = _portable_class(path).from_pretrained(path)
    check_sides(processor)
    if hasattr(processor, GRID):
        processor = CLIPImageProcessorPil(**steps_of(processor))
    if size is None:
        return processor
    return type(processor)(**(processor.to_dict() | _square(processor, size)))


def image_options(path: str) -> dict[str, Any]:
    """The options of a checkpoint's image processor, as they are written.

    Args:
        path: a local folder or a Hub id.

    Raises:
        EncoderError: if there are none.
    """
    return _read_options(path, _IMAGE_OPTIONS)


def steps_of(processor: Any) -> dict[str, Any]:
    """What an image processor does to one view, as options."""
    options = processor.to_dict()
    steps = {key: options[key] for key in _FRAME_STEPS if options.get(key) is not None}
    return {"do_center_crop": False} | steps  # what is not said is not done


def load_frame_processor(path: str, *, defaults: Mapping[str, Any]) -> Any:
    """Load what a video checkpoint does to each frame, as an image processor.

    The video processors of transformers need torchvision; the steps are those of CLIP's images.

    Args:
        path: a local folder or a Hub id.
        defaults: options of the kind, for those that the checkpoint does not name.

    Returns:
        A transformers image processor on the PIL backend.

    Raises:
        EncoderError: if the checkpoint has no processor configuration, or its frames are too large.
    """
    options = _read_options(path, _FRAME_OPTIONS)
    known = {key: options[key] for key in _FRAME_STEPS if options.get(key) is not None}
    processor = CLIPImageProcessorPil(**(dict(defaults) | known))
    check_sides(processor)
    return processor


def write_image_processor(config: Any, folder: Path) -> None:
    """Write the options of an image processor: squares of the model's own size.

    Args:
        config: of a vision model.
        folder: of its checkpoint.
    """
    side = side_of(getattr(config, "image_size", None))
    if side is not None:
        square = {"height": side, "width": side}
        options: dict[str, Any] = {"size": square, "crop_size": square}
    else:  # convolutional: any size will do
        options = {"size": {"shortest_edge": 224}}
    if config.model_type in _HALVES:
        options["image_processor_type"] = _HALVES[config.model_type]
    (folder / "preprocessor_config.json").write_text(json.dumps(options), encoding="utf-8")


def write_frame_processor(side: int, folder: Path) -> None:
    """Write the options of a video processor: square frames of `side` pixels."""
    options = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    file = folder / "video_preprocessor_config.json"
    file.write_text(json.dumps(options), encoding="utf-8")


def _read_options(path: str, places: Sequence[_Place]) -> dict[str, Any]:
    """The first options that a checkpoint has among some places."""
    for name, section in places:
        file = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        options: dict[str, Any] = json.loads(Path(file).read_text()) if file else {}
        options = options.get(section, {}) if section else options
        if options:
            return options
    names = dict.fromkeys(name for name, _ in places)
    raise EncoderError(
        f"'{path}' has no processor configuration; save the checkpoint's processor beside its "
        f"weights, as {' or '.join(names)}"
    )


def _portable_class(path: str) -> Any:
    """The PIL class of a checkpoint's image processor; the auto class may insist on torchvision."""
    options = image_options(path)
    name = options.get("image_processor_type") or options.get("feature_extractor_type")
    if name is None:
        settings, _ = PretrainedConfig.get_config_dict(path)
        classes = _PORTABLE_NAMES.get(settings.get("model_type", ""), {})
        name = classes.get("pil") or "its image processor"
    name = name.replace("FeatureExtractor", "ImageProcessor")
    name = name.removesuffix("Pil").removesuffix("Fast")
    portable = getattr(transformers, f"{name}Pil", None)
    if portable is None:
        raise EncoderError(
            f"'{path}': transformers has no {name} that works without torchvision; choose a "
            "checkpoint with another image processor"
        )
    return portable


def _square(processor: Any, size: int) -> dict[str, dict[str, int]]:
    """Options that make the processor produce `size` x `size` pixels, by the way it has."""
    own_size = dict(getattr(processor, "size", None) or {})
    if size < 1 or not ({"shortest_edge", "height"} & _set_keys(own_size)):
        raise EncoderError(
            f"size={size} cannot be applied to {type(processor).__name__} with size {own_size}; "
            "leave it out to use the checkpoint's own"
        )
    square = {"height": size, "width": size}
    has_edge = "shortest_edge" in _set_keys(own_size)
    options = {"size": {"shortest_edge": size} if has_edge else square}
    if getattr(processor, "crop_size", None):
        options["crop_size"] = square
    return options


def _unnested(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pictures of one sample, `[1, W, C, H, W]`, by themselves."""
    if not tensors["pixel_attention_mask"].all():
        raise EncoderError(
            "this image processor pads pictures to a common size; set do_image_splitting or "
            "max_image_size in its configuration so that all are of one size"
        )
    return {"pixel_values": tensors["pixel_values"].flatten(0, 1)}


def _set_keys(size: dict[str, int | None]) -> set[str]:
    """The keys of a size that have a value."""
    return {key for key, value in size.items() if value is not None}
