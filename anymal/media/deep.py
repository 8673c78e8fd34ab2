"""Values of 10, 12 or 14 bits that are stored in 16, as cameras and microscopes save them.

The upper byte of such values is nearly empty, and a picture made of it black. This scales values to
eight bits by the depth that they use.
"""

import io
import logging
import sys
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from anymal.errors import MediaUnsupported
from anymal.media.source import Source

logger = logging.getLogger(__name__)

_Args = tuple[Any, ...] | str | None
_DEPTHS = (8, 10, 12, 14, 16)
_BIG, _LITTLE = "RGB;16B", "RGB;16L"
# How a file orders the two bytes of a value, and the order in which Pillow keeps the lower one.
_OTHER_ORDER = {
    _BIG: _LITTLE,
    _LITTLE: _BIG,
    "RGB;16N": _BIG if sys.byteorder == "little" else _LITTLE,
}


def scaled_grey(image: PIL.Image.Image, name: str) -> NDArray[np.uint8]:
    """Scales grey of up to 16 bits by the bits that it uses.

    Args:
        image: A picture of one of Pillow's modes for deep grey.
        name: The file's name, for the error.

    Returns:
        [H, W] uint8.

    Raises:
        MediaUnsupported: Values that are negative or do not fit in 16 bits.
    """
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() >= 1 << _DEPTHS[-1]:
        raise MediaUnsupported(name, "pixels deeper than 16 bits", "8 or 16 bits per channel")
    return (grey >> _used_depth(int(grey.max())) - 8).astype(np.uint8)


def is_deep_colour(image: PIL.Image.Image) -> bool:
    """Whether an opened picture, not yet loaded, stores colour in 16 bits.

    Args:
        image: The picture.

    Returns:
        True for RGB in 16 bits.
    """
    tiles = getattr(image, "tile", ())
    return bool(tiles) and all(_order(tile.args) in _OTHER_ORDER for tile in tiles)


def scaled_colour(upper: PIL.Image.Image, source: Source, key: str) -> PIL.Image.Image:
    """Scales the colour of a deep picture by the bits that it uses.

    Args:
        upper: The picture as Pillow has loaded it, which keeps the upper byte of each value.
        source: Its file.
        key: Its format.

    Returns:
        `upper` itself where all 16 bits are used, else a brighter picture.
    """
    depth = _used_depth(int(np.asarray(upper).max()) << 8 | 0xFF)
    if depth == _DEPTHS[-1]:
        return upper
    with PIL.Image.open(io.BytesIO(source.data), formats=(key,)) as lower:
        lower.tile = [tile._replace(args=_swapped(tile.args)) for tile in lower.tile]
        lower.load()
        values = np.asarray(upper).astype(np.uint16) << 8 | np.asarray(lower)
    return PIL.Image.fromarray((values >> depth - 8).astype(np.uint8))


def _used_depth(largest: int) -> int:
    """The smallest usual depth that holds a picture's largest value."""
    depth = next(depth for depth in _DEPTHS if largest < 1 << depth)
    if depth < _DEPTHS[-1]:
        logger.info("values stored in 16 bits use %d of them; scaled by these", depth)
    return depth


def _order(args: _Args) -> Any:
    """The byte order that a Pillow decoder was given."""
    return args[0] if isinstance(args, tuple) else args


def _swapped(args: _Args) -> _Args:
    """The same with the other order."""
    other = _OTHER_ORDER[_order(args)]
    return (other, *args[1:]) if isinstance(args, tuple) else other
