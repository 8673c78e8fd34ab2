"""How many features media have, counted before they are encoded: pictures, clips, recordings.

Reads preprocessed tensors; knows no model. The kinds say which numbers are theirs.

Shapes: W windows, P features per window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from encoders.base import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchLayout:
    """The tokens of pictures, one view for each.

    Attributes:
        patch_size: pixels of a patch, down and across.
        pool: side of the grid that patches are averaged to; None keeps every patch.
        before: tokens that precede the patches.
        block_size: side of the squares that the patches come in; 1 is row by row.
    """

    patch_size: tuple[int, int]
    pool: int | None
    before: int = 0
    block_size: int = 1

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one picture, or of the frames of one film."""
        pixels = tensors["pixel_values"]
        if self.pool is not None:
            rows = columns = self.pool
        elif "spatial_shapes" in tensors:  # frames of a film are of one size
            rows, columns = tensors["spatial_shapes"][0].tolist()
        else:
            rows, columns = (
                side // patch for side, patch in zip(pixels.shape[2:], self.patch_size, strict=True)
            )
        return Layout(
            views=len(pixels),
            before=self.before,
            rows=rows // self.block_size,  # a row of squares
            columns=columns * self.block_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledLayout:
    """One feature for each window.

    Attributes:
        argument: the tensor that holds the windows.
    """

    argument: str

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one medium."""
        return Layout(before=len(tensors[self.argument]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLayout:
    """The patches of a clip, one view for each time.

    Attributes:
        patch_size: pixels of a patch, both ways.
        tubelet_size: frames per view.
    """

    patch_size: int
    tubelet_size: int = 1

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one clip."""
        _, num_frames, _, height, width = tensors["clip"].shape
        return Layout(
            views=num_frames // self.tubelet_size,
            rows=height // self.patch_size,
            columns=width // self.patch_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskLayout:
    """Counts the features that a preprocessed tensor says are real.

    Attributes:
        name: of that tensor, `[W, P]` bool.
    """

    name: str

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one recording, all of it in no row."""
        return Layout(before=int(tensors[self.name].sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsLayout:
    """Counts the features that begin before their window's recording ends.

    Attributes:
        starts: sample or frame at which each of the P features begins.
        length: name of the tensor `[W]` int64 that says how many samples or frames were recorded.
    """

    starts: Sequence[int]
    length: str = "num_real"

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one recording, all of it in no row."""
        begins = torch.tensor(self.starts)
        return Layout(before=int((begins < tensors[self.length][:, None]).sum()))
