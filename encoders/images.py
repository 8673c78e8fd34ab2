"""Prepare pictures as a checkpoint's own image processor prescribes, without torchvision.

Holds no model; the options come from the checkpoint's `preprocessor_config.json`.

Shapes: W pictures, H height, C channels.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoImageProcessor, CLIPImageProcessorPil
from transformers.utils.hub import cached_file

from encoders.base import EncoderError
from encoders.signals import Image

# Where a video checkpoint keeps its options, in order of preference: file, section of it.
_FRAME_OPTIONS = (
    ("video_preprocessor_config.json", None),
    ("processor_config.json", "video_processor"),
    ("processor_config.json", "image_processor"),
    ("preprocessor_config.json", None),
)
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
        The model's inputs, such as `pixel_values` `[W, C, H, W]` float32.
    """
    # The layout is named because a picture of 1 or 3 rows looks like channels-first.
    batch = processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt")
    return {name: batch[name] for name in processor.model_input_names if name in batch}


def load_image_processor(path: str, *, size: int | None = None) -> Any:
    """Load a checkpoint's image processor on the PIL backend.

    Args:
        path: a local folder or a Hub id.
        size: pixels of the square the model shall see; None keeps the checkpoint's own.

    Returns:
        A transformers image processor.

    Raises:
        EncoderError: if there is none, or if `size` cannot be applied to it.
    """
    auto_class: Any = AutoImageProcessor
    try:
        processor = auto_class.from_pretrained(path, backend="pil")
    except OSError as error:
        raise EncoderError(
            f"'{path}' has no readable preprocessor_config.json; save the checkpoint's image "
            "processor beside its weights"
        ) from error
    if size is None:
        return processor
    return type(processor)(**(processor.to_dict() | _square(processor, size)))


def load_frame_processor(path: str, *, defaults: Mapping[str, Any]) -> Any:
    """Load what a video checkpoint does to each frame, as an image processor.

    The video processors of transformers need torchvision; the steps are those of CLIP's images.

    Args:
        path: a local folder or a Hub id.
        defaults: options of the kind, for those that the checkpoint does not name.

    Returns:
        A transformers image processor on the PIL backend.

    Raises:
        EncoderError: if the checkpoint has no processor configuration.
    """
    for name, section in _FRAME_OPTIONS:
        file = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        options = json.loads(Path(file).read_text()) if file else {}
        options = options.get(section, {}) if section else options
        if options:
            known = {key: options[key] for key in _FRAME_STEPS if options.get(key) is not None}
            return CLIPImageProcessorPil(**(dict(defaults) | known))
    raise EncoderError(
        f"'{path}' has no processor configuration; save one of "
        f"{', '.join(name for name, _ in _FRAME_OPTIONS)} beside its weights"
    )


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


def _set_keys(size: dict[str, int | None]) -> set[str]:
    """The keys of a size that have a value."""
    return {key for key, value in size.items() if value is not None}
