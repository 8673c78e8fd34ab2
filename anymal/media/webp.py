"""The size of a WebP picture, and room for it, before its reader runs.

The reader makes room for the whole picture as it opens a file, and tells a lack of memory as it
tells a broken file. This decodes no pixels.
"""

import numpy as np

from anymal.media.image_size import check_size
from anymal.media.limits import Limits
from anymal.media.source import Source

_PIXEL_BYTES = 8  # the reader holds two pictures of four channels


def check_room(source: Source, limits: Limits) -> None:
    """Refuses a picture that is too large.

    Args:
        source: A WebP file; of a broken one nothing is said.
        limits: How many pixels are accepted.

    Raises:
        MediaError: Beyond the limits.
        MemoryError: There is no room for it in memory.
    """
    size = _size(source.data)
    if size is None:
        return
    check_size(source.name, *size, limits)
    np.empty((*size, _PIXEL_BYTES), np.uint8)


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the first chunk states them."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return _number(data[24:27]) + 1, _number(data[27:30]) + 1
    if kind == b"VP8L" and len(data) >= 25:
        packed = _number(data[21:25])
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return _number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF
    return None


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
