"""How large and how many pictures an image processor may make: its file may be a stranger's.

Runs no processor; `encoders.images` does.
"""

from typing import Any

from encoders.base import EncoderError

# Of one picture. Published models have up to 36; each tile is a picture of its own to the tower.
MOST_TILES = 64
# A side of what the tower sees, and of what that is cut from.
MOST_PIXELS = 4096


def most_windows(processor: Any) -> int:
    """How many windows a processor makes of a picture at most, if it cuts pictures into tiles.

    Raises:
        EncoderError: if it is told to make too many, as a stranger's may be.
    """
    num_tiles = processor.max_patches if getattr(processor, "crop_to_patches", False) else 1
    if num_tiles > MOST_TILES:
        raise EncoderError(
            f"the image processor cuts pictures into up to {num_tiles} tiles; set max_patches to "
            f"at most {MOST_TILES}"
        )
    return num_tiles + 1 if num_tiles > 1 else 1  # the whole picture comes last


def check_sides(processor: Any) -> None:
    """Refuse pictures that would fill memory: a stranger's file may ask for any size.

    Args:
        processor: a transformers image processor.

    Raises:
        EncoderError: if it makes pictures with a longer side than `MOST_PIXELS`, even for a while.
    """
    for name in ("size", "crop_size"):
        sides = dict(getattr(processor, name, None) or {})
        if any(isinstance(side, int | float) and side > MOST_PIXELS for side in sides.values()):
            raise EncoderError(
                f"the image processor makes pictures of {sides} ({name}); at most {MOST_PIXELS} "
                "pixels a side are allowed; choose a checkpoint whose files agree"
            )
