"""Pictures of any size, cut into tiles for a vision tower and joined again: any resolution.

As in LLaVA-NeXT: a picture is brought to the best of a few sizes, padded, and cut; a small copy of
the whole goes before the tiles. Features are the copy's, then one map of the picture without its
padding. Puts no newlines between rows (an aligner does) and does not choose features of the tower.

Shapes: W views of all pictures (of each, the copy first), P features per view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.image_processing_utils import select_best_resolution

from encoders.base import EncoderError, Layout
from encoders.frozen import FrozenEncoder, WindowStates
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import PatchLayout
from encoders.signals import Image
from encoders.tile_processor import check_grid, load_tile_processor, write_tile_processor
from encoders.vision import VISION, load_vision_tower, unloaded_tower
from encoders.vision_read import ReadTokens

Unpad = Literal["round", "floor"]

# What tiles cannot be: pooled to one feature, or in squares.
_NO_OTHERS = {"pooled": False, "order": "raster", "block_size": 2}
_DIGITS = 7  # after which a product of floats is what it should have been


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesPreprocessor:
    """From an `Image` to its views.

    Gives `pixel_values` `[W, C, H, W]`; the number of each `view` `[W]` int64, 0 being the small
    copy, which the tiles follow row by row; and `image_sizes` `[W, 2]` int64, height and width of
    the whole picture.

    Attributes:
        processor: a `LlavaNextImageProcessorPil`.
    """

    processor: Any

    def __call__(self, signal: Image) -> dict[str, Tensor]:
        """Preprocess one picture."""
        made = self.processor(
            images=[signal.pixels], input_data_format="channels_last", return_tensors="pt"
        )
        pixels = made["pixel_values"][0]
        return {
            "pixel_values": pixels,
            "view": torch.arange(len(pixels)),
            "image_sizes": made["image_sizes"].repeat(len(pixels), 1),
        }


class _Map(NamedTuple):
    """A picture's own features: how they stand, and where they stood among those of all tiles."""

    rows: int
    columns: int
    top: int
    left: int
    tiles_across: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLayout:
    """How the features of a picture stand: those of the small copy, then rows of its own.

    Attributes:
        view: the features of one view.
        side: pixels of a tile, both ways.
        grid: sizes that pictures are brought to, as (height, width).
        unpad: how the part of the map that shows the picture is rounded, where it is no whole
            number of features: `round`, as transformers does after it mends float errors, or
            `floor`, as LLaVA's own code does. They differ in few sizes, by two rows or columns.
    """

    view: PatchLayout
    side: int
    grid: tuple[tuple[int, int], ...]
    unpad: Unpad

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one picture."""
        view = replace(self.view(tensors), views=1)
        own = self._map(tensors["image_sizes"][0].tolist(), view)
        return Layout(before=view.count, rows=own.rows, columns=own.columns)

    def places(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The number of each feature of each view among those of its picture.

        Args:
            tensors: as `TilesPreprocessor` gives them.

        Returns:
            `[W, P]` int64; -1 where a tile shows padding, or has a class token.
        """
        view = replace(self.view(tensors), views=1)
        places = [
            self._places(number, size, view)
            for number, size in zip(
                tensors["view"].tolist(), tensors["image_sizes"].tolist(), strict=True
            )
        ]
        return torch.stack(places).to(tensors["pixel_values"].device)

    def _map(self, size: Sequence[int], view: Layout) -> _Map:
        """The map of a picture of some height and width."""
        height, width = size
        whole_height, whole_width = select_best_resolution((height, width), list(self.grid))
        tiles_across = whole_width // self.side
        rows, columns = whole_height // self.side * view.rows, tiles_across * view.columns
        top = left = 0
        if width / height > columns / rows:  # padded above and below
            top = (rows - self._whole(height * (columns / width))) // 2
        else:
            left = (columns - self._whole(width * (rows / height))) // 2
        return _Map(rows - 2 * top, columns - 2 * left, top, left, tiles_across)

    def _whole(self, length: float) -> int:
        """A length in features, cut to a whole number."""
        return int(round(length, _DIGITS) if self.unpad == "round" else length)

    def _places(self, number: int, size: Sequence[int], view: Layout) -> Tensor:
        """The places of one view's features, `[P]`."""
        if number == 0:
            return torch.arange(view.count)
        own = self._map(size, view)
        down, across = divmod(number - 1, own.tiles_across)
        rows = torch.arange(view.rows)[:, None] + down * view.rows - own.top
        columns = torch.arange(view.columns) + across * view.columns - own.left
        is_own = (rows >= 0) & (rows < own.rows) & (columns >= 0) & (columns < own.columns)
        places = torch.where(is_own, view.count + rows * own.columns + columns, -1)
        return F.pad(places.flatten(), (view.before, 0), value=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTiles:
    """Reads the features of views, and says which places they take in their picture.

    Attributes:
        tokens: reads one view.
        layout: of pictures.
    """

    tokens: ReadTokens
    layout: TileLayout

    def __call__(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read views."""
        seen = self.tokens(model, {"pixel_values": tensors["pixel_values"]})
        places = self.layout.places(tensors)
        return replace(seen, mask=places >= 0, steps=torch.zeros_like(places), places=places)


def build_tiles(
    path: str,
    *,
    grid: list[list[int]] | None = None,
    unpad: Unpad = "round",
    layer: int | Sequence[int] | None = -2,
    drop_cls: bool = True,
    pool: int | None = None,
    post_norm: bool = False,
    projected: bool = False,
    unit: bool = False,
    size: int | None = None,
) -> FrozenEncoder:
    """An image encoder that sees pictures in tiles.

    Args:
        path: a local folder or a Hub id.
        grid: sizes that pictures may be brought to, as [height, width] in pixels; None takes those
            of the checkpoint's image processor.
        unpad: see `TileLayout`.
        layer: see `ReadTokens`, also for the other options.
        drop_cls: leave out class tokens; False keeps those of the small copy alone.
        pool: side of the pooled patch grid of each view.
        post_norm: apply the tower's last norm.
        projected: apply the projection into the space that pictures share with words.
        unit: scale each feature to length 1.
        size: pixels of a tile's side.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    _check_unpad(unpad)
    read = ReadTokens(
        layer=layer,
        drop_cls=drop_cls,
        pool=pool,
        post_norm=post_norm,
        projected=projected,
        unit=unit,
    )
    processor = load_tile_processor(path, grid=grid, size=size)
    tower = load_vision_tower(path, read=read, size=size)
    if not isinstance(tower.layout, PatchLayout):
        raise _no_rows(path)
    layout = TileLayout(
        view=tower.layout,
        side=processor.crop_size["height"],
        grid=tuple((height, width) for height, width in processor.image_grid_pinpoints),
        unpad=unpad,
    )
    return FrozenEncoder(
        kind="tiles",
        model=tower.model,
        preprocessor=TilesPreprocessor(processor=processor),
        read=ReadTiles(tokens=tower.read, layout=layout),
        width=tower.width,
        layout=layout,
        ignored_weights=tower.ignored_weights,
    )


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """A tower over one view, and how many views and features the largest picture has."""
    _check_unpad(options["unpad"])
    tower, path = unloaded_tower(config, _NO_OTHERS | dict(options)), options["path"]
    side, grid = tower.window["pixel_values"].shape[-1], options["grid"]
    if Path(path).is_dir():
        with torch.device("cpu"):
            processor = load_tile_processor(path, grid=grid, size=options["size"])
        side, grid = processor.crop_size["height"], processor.image_grid_pinpoints
    check_grid(grid, side, path)
    sizes = [(height // side, width // side) for height, width in grid]  # in tiles
    down, across = max(sizes, key=lambda size: (size[0] * size[1], size[0]))
    assert tower.layout is not None, "pooled: false"
    view = tower.layout(tower.window)

    def longest(num_features: int) -> Layout:
        if num_features < view.count:
            raise _no_rows(path)
        rows, columns = down * view.rows, across * view.columns
        return Layout(before=num_features, rows=rows, columns=columns)

    num_views = 1 + max(down * across for down, across in sizes)
    return replace(tower, num_windows=num_views, layout=None, longest=longest)


def save_random_tiles(config: Any, folder: Path) -> nn.Module:
    """Write a vision model of random weights with an image processor that cuts tiles."""
    model = VISION.save_random(config, folder)
    write_tile_processor(getattr(config, "vision_config", config), folder)
    return model


def _check_unpad(unpad: str) -> None:
    if unpad not in (known := get_args(Unpad)):
        raise EncoderError(f"unknown unpad '{unpad}'; known: {', '.join(known)}")


def _no_rows(path: str) -> EncoderError:
    return EncoderError(
        f"'{path}' has no grid of patches from which tiles could be joined; choose a ViT-like "
        "model, or give pool"
    )


TILES = EncoderKind(
    build=build_tiles,
    unloaded=_unloaded,
    usual_config=VISION.usual_config,
    save_random=save_random_tiles,
)
