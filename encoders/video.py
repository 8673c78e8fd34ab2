"""Videos as frames through a vision tower, the frame index being the time step.

Does not decode videos and does not model motion; dedicated video models are in `clips.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from encoders.base import EncoderError
from encoders.frozen import FrozenEncoder
from encoders.images import process_pictures, undivided
from encoders.kind import EncoderKind
from encoders.signals import Video
from encoders.times import FrameTimes
from encoders.vision import VISION, load_vision_tower
from encoders.vision_read import Order, ReadTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesPreprocessor:
    """From a `Video` to the tensors of its frames, one window each.

    Attributes:
        processor: a transformers image processor on the PIL backend.
        num_frames: how many frames are wanted; a video with fewer keeps those it has.
    """

    processor: Any
    num_frames: int

    def __call__(self, signal: Video) -> dict[str, Tensor]:
        """Preprocess one video."""
        num_frames = min(self.num_frames, len(signal.frames))
        return process_pictures(self.processor, uniform_frames(signal.frames, num_frames))


def uniform_frames(frames: NDArray[np.uint8], num_frames: int) -> NDArray[np.uint8]:
    """Choose frames at even spacing, first and last included; repeats them where there are fewer.

    Args:
        frames: `[F, H, W, 3]` uint8.
        num_frames: how many to return.

    Returns:
        `[num_frames, H, W, 3]` uint8.
    """
    chosen = np.linspace(0, len(frames) - 1, num_frames).round().astype(np.int64)
    return frames[chosen]


def build_frames(
    path: str,
    *,
    num_frames: int = 8,
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
    """A video encoder on any `vision` checkpoint; see `encoders.vision` for the options.

    Frames are not cut into tiles, even where the checkpoint's pictures are.
    """
    if num_frames < 1:
        raise EncoderError(f"num_frames={num_frames} must be at least 1")
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
        kind="frames",
        model=tower.model,
        preprocessor=FramesPreprocessor(
            processor=undivided(tower.processor), num_frames=num_frames
        ),
        read=tower.read,
        width=tower.width,
        layout=tower.layout,
        times=FrameTimes(
            num_frames=num_frames, layout=tower.layout, num_features=tower.num_features
        ),
        ignored_weights=tower.ignored_weights,
    )


FRAMES: EncoderKind = replace(VISION, build=build_frames)
