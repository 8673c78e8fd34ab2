"""Pictures of any size as patches of pixels: no encoder, so no weights.

As in Fuyu: a picture that is too large is shrunk, then padded to whole patches, which an aligner
projects. Each patch is a window, so that pictures of different size share a batch.

Shapes: W patches of all pictures, P pixels of a patch's side, D_enc = P * P * 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import FuyuImageProcessorPil

from encoders.base import EncoderError, Layout
from encoders.frozen import FrozenEncoder, WindowStates
from encoders.images import load_image_processor
from encoders.kind import EncoderKind, Unloaded
from encoders.signals import Image

_CHANNELS = 3
# Of one picture; Fuyu's own limit is 36 x 64.
_MOST_PATCHES = 4096
_NOTHING_ELSE = {"do_pad": False, "do_rescale": False, "do_normalize": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelsConfig:
    """How pictures are cut.

    Attributes:
        patch: pixels of a patch's side.
        rows: of patches in the largest picture.
        columns: likewise.
    """

    patch: int
    rows: int
    columns: int


class Pixels(nn.Module):
    """Stands where other encoders have a model."""

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__()
        self.config = config


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelsPreprocessor:
    """From an `Image` to its patches, row by row.

    Gives `patches` `[W, D_enc]` float32, in the order row, column, channel of their pixels, and the
    `place` of each in the picture `[W, 2]` int64, row and column.

    Attributes:
        processor: a `FuyuImageProcessorPil`.
        patch: pixels of a patch's side.
    """

    processor: Any
    patch: int

    def __call__(self, signal: Image) -> dict[str, Tensor]:
        """Preprocess one picture."""
        # Fuyu's processor pads to the largest size, most of which is cut off again. Here it pads to
        # whole patches at once.
        shrunk = self._run(signal.pixels, "channels_last", do_resize=True, **_NOTHING_ELSE)
        rows, columns = (-(-side // self.patch) for side in shrunk.shape[1:])
        size = {"height": rows * self.patch, "width": columns * self.patch}
        padded = self._run(shrunk, "channels_first", do_resize=False, do_pad=True, size=size)
        patches = self.processor.patchify_image(padded)
        place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        return {"patches": torch.from_numpy(patches).float(), "place": place}

    def _run(self, picture: Any, layout: str, **options: Any) -> Any:
        """The processor's steps, to `[C, H, W]`."""
        batch = self.processor(images=[[picture]], input_data_format=layout, **options)
        return np.asarray(batch["images"][0][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelsLayout:
    """Rows and columns of patches."""

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one picture."""
        rows, columns = (tensors["place"][-1] + 1).tolist()
        return Layout(rows=rows, columns=columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPixels:
    """One feature in each window."""

    def __call__(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read patches."""
        values = tensors["patches"][:, None]
        steps = torch.zeros(values.shape[:2], dtype=torch.int64, device=values.device)
        return WindowStates(values=values, steps=steps)


def build_pixels(
    path: str | None = None, *, patch: int | None = None, size: list[int] | None = None
) -> FrozenEncoder:
    """An image encoder that hands on pixels.

    Args:
        path: a local folder or a Hub id with the options of Fuyu's image processor; None takes
            those of its class.
        patch: pixels of a patch's side; None takes the processor's, 30 by default.
        size: height and width of the largest picture, in whole patches; None takes the
            processor's, 1080 x 1920 by default.

    Raises:
        EncoderError: if an option does not fit, or the folder holds another processor.
    """
    processor = _load(path, patch=patch, size=size)
    config = pixels_config(processor)
    return FrozenEncoder(
        kind="pixels",
        model=Pixels(config),
        preprocessor=PixelsPreprocessor(processor=processor, patch=config.patch),
        read=ReadPixels(),
        width=config.patch**2 * _CHANNELS,
        layout=PixelsLayout(),
    )


def _load(path: str | None, *, patch: int | None, size: list[int] | None) -> Any:
    """Fuyu's image processor with the options of a folder, and others instead of them."""
    processor = FuyuImageProcessorPil() if path is None else load_image_processor(path)
    if not isinstance(processor, FuyuImageProcessorPil):
        raise EncoderError(
            f"'{path}' prepares pictures with {type(processor).__name__}; pixels takes a folder "
            "with Fuyu's image processor, or no path"
        )
    changes = {}
    if patch is not None:
        changes["patch_size"] = _sides("patch", [patch, patch])
    if size is not None:
        changes["size"] = _sides("size", size)
    return FuyuImageProcessorPil(**(processor.to_dict() | changes)) if changes else processor


def _sides(name: str, sides: Any) -> dict[str, int]:
    """A height and a width."""
    if not isinstance(sides, list) or [type(side) for side in sides] != [int, int]:
        raise EncoderError(f"{name} is {sides!r}; give whole numbers, a size as [height, width]")
    return {"height": sides[0], "width": sides[1]}


def pixels_config(processor: Any) -> PixelsConfig:
    """How an image processor cuts pictures.

    Args:
        processor: a `FuyuImageProcessorPil`, perhaps with a stranger's options.

    Raises:
        EncoderError: if the largest picture is not made of whole patches, or of too many.
    """
    patch, size = dict(processor.patch_size), dict(processor.size)
    side, height, width = patch.get("height"), size.get("height"), size.get("width")
    told = f"patch {patch} and size {size}"
    if not side or patch != {"height": side, "width": side} or side < 1:
        raise EncoderError(f"{told}: a patch must be a square of at least one pixel")
    if not height or not width or height % side or width % side or min(height, width) < 1:
        raise EncoderError(f"{told}: the largest picture must be whole patches high and wide")
    rows, columns = height // side, width // side
    if rows * columns > _MOST_PATCHES:
        raise EncoderError(
            f"{told}: the largest picture has {rows * columns} patches; {_MOST_PATCHES} are "
            "allowed; set a smaller size or a larger patch"
        )
    return PixelsConfig(patch=side, rows=rows, columns=columns)


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """One patch, and how many the largest picture has."""
    with torch.device("cpu"):
        path, patch, size = options["path"], options["patch"], options["size"]
        shape = pixels_config(_load(path, patch=patch, size=size))
    window = {"patches": torch.zeros(1, shape.patch**2 * _CHANNELS)}
    return Unloaded(
        model=Pixels(shape),
        read=ReadPixels(),
        window=window,
        num_windows=shape.rows * shape.columns,
        longest=lambda _: Layout(rows=shape.rows, columns=shape.columns),
    )


def _save_random(config: PixelsConfig, folder: Path) -> nn.Module:
    """Write an image processor; there are no weights."""
    size = [config.rows * config.patch, config.columns * config.patch]
    _load(None, patch=config.patch, size=size).save_pretrained(folder)
    return Pixels(config)


def _usual_config() -> PixelsConfig:
    """Fuyu's."""
    return pixels_config(FuyuImageProcessorPil())


PIXELS = EncoderKind(
    build=build_pixels,
    unloaded=_unloaded,
    usual_config=_usual_config,
    save_random=_save_random,
    read_config=lambda path: pixels_config(_load(path, patch=None, size=None)),
    tiny_config=lambda: PixelsConfig(patch=8, rows=30, columns=30),
    has_weights=False,
)
