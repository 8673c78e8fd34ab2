"""The frames of AMR voice notes, without what stands between or behind them.

A frame tells its own size in its first byte. It decodes nothing.
"""

import logging
from dataclasses import replace

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.source import Source

logger = logging.getLogger(__name__)

_NARROW, _WIDE = b"#!AMR\n", b"#!AMR-WB\n"
# Bytes behind the first one, by mode; other modes hold no frame.
_SIZES = {
    _NARROW: dict(zip((*range(9), 15), (12, 13, 15, 17, 19, 20, 26, 31, 5, 0), strict=True)),
    _WIDE: dict(
        zip((*range(10), 14, 15), (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0), strict=True)
    ),
}
_RESERVED_BITS = 0x83


def whole_frames(source: Source) -> Source:
    """Keeps the head and the frames of a voice note; others may be joined to it.

    Args:
        source: The file.

    Returns:
        The file without the heads of joined ones and the bytes behind the last frame.

    Raises:
        MediaUnsupported: Neither AMR nor AMR-WB of one channel.
        MediaCorrupt: Cut short within a frame.
    """
    data = source.data
    head = next((head for head in (_NARROW, _WIDE) if data.startswith(head)), None)
    if head is None:
        raise MediaUnsupported(source.name, "an AMR sound of several channels", "AMR or AMR-WB")
    pieces, start, place = [head], len(head), len(head)
    while place < len(data):
        size = None
        if not data[place] & _RESERVED_BITS:
            size = _SIZES[head].get(data[place] >> 3 & 0b1111)
        if size is not None:
            place += 1 + size
            continue
        pieces.append(data[start:place])
        if not data.startswith(head, place):
            left = f"{len(data) - place:,}"
            logger.warning("%s: %s bytes behind the sound are left out", source.name, left)
            return replace(source, data=b"".join(pieces))
        start = place = place + len(head)
    if place > len(data):
        found = f"an AMR sound that was cut short at {len(data):,} bytes"
        raise MediaCorrupt(source.name, found, "a whole file")
    return replace(source, data=b"".join((*pieces, data[start:])))
