"""An image processor that cuts pictures into tiles, made of any checkpoint's own.

Runs nothing; `encoders.tiles` does.
"""

from pathlib import Path
from typing import Any

from transformers import LlavaNextImageProcessorPil

from encoders.base import EncoderError
from encoders.images import GRID, image_options, load_image_processor, side_of, steps_of
from encoders.picture_limits import MOST_TILES

# LLaVA-NeXT's, in tiles down and across.
_TILINGS = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))


def load_tile_processor(path: str, *, grid: Any = None, size: int | None = None) -> Any:
    """Load a checkpoint's image processor as one that cuts pictures into tiles.

    Args:
        path: a local folder or a Hub id.
        grid: sizes that pictures may be brought to, a list of [height, width]; None takes the
            checkpoint's own.
        size: as in `load_image_processor`.

    Returns:
        A `LlavaNextImageProcessorPil`; it does to each tile what `load_image_processor`'s does to
        a picture. Its `crop_size` is that of tiles.

    Raises:
        EncoderError: if there is no processor or no grid, or an option cannot be applied.
    """
    view = load_image_processor(path, size=size)
    steps = steps_of(view)
    square = steps.get("crop_size") or steps.get("size") or {}
    side = square.get("height") or square.get("shortest_edge")
    if side is None:
        raise EncoderError(
            f"'{path}': {type(view).__name__} keeps the shape of pictures, and tiles are squares; "
            "choose kind: vision, or another checkpoint"
        )
    grid = grid or image_options(path).get(GRID)
    if not grid:
        raise EncoderError(
            f"'{path}' does not say to which sizes pictures are brought before they are cut into "
            "tiles; give grid: [[height, width], ...]"
        )
    check_grid(grid, side, path)
    steps["crop_size"] = {"height": side, "width": side}
    return LlavaNextImageProcessorPil(**steps, image_grid_pinpoints=grid)


def write_tile_processor(config: Any, folder: Path) -> None:
    """Write the options of an image processor that cuts pictures into at most four tiles.

    Args:
        config: of a vision model, whose side tiles have.
        folder: of its checkpoint.
    """
    side = side_of(config.image_size)
    assert side is not None, "tiles are squares"
    grid = [[side * down, side * across] for down, across in _TILINGS]
    LlavaNextImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_grid_pinpoints=grid,
    ).save_pretrained(folder)


def check_grid(grid: Any, side: int, path: str) -> None:
    """Refuse sizes of pictures that are not whole tiles, or too many.

    Args:
        grid: may come from a stranger's file.
        side: pixels of a tile's side.
        path: of the checkpoint.

    Raises:
        EncoderError: the message says what a grid is.
    """
    known = f"'{path}': grid is a list of [height, width], each a multiple of {side}"
    if not isinstance(grid, list) or not grid or not all(_is_size(each, side) for each in grid):
        raise EncoderError(f"{known}, the side of a tile; this one is {grid!r}")
    largest = max(height * width // side**2 for height, width in grid)
    if largest > MOST_TILES:
        raise EncoderError(f"{known}, of at most {MOST_TILES} tiles; the largest has {largest}")


def _is_size(size: object, side: int) -> bool:
    """Whether something is a height and a width in whole tiles."""
    if not isinstance(size, list) or len(size) != 2:
        return False
    return all(isinstance(each, int) and each > 0 and each % side == 0 for each in size)
