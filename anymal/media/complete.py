"""Whether a file arrived whole, told from the lengths that it declares itself.

Decoders take a file that was cut short for a shorter one; this says so before they run. It reads
only lengths and does not otherwise check a file.
"""

from collections.abc import Callable
from typing import Literal

from anymal.errors import MediaCorrupt
from anymal.media.formats import detect
from anymal.media.source import Source

# Writers to a pipe cannot go back to fill in a length: they leave the largest there is, or about.
_UNKNOWN_LENGTH = 0x7FFF0000
_RIFF_HEADER = 12
_RIFF_SLACK = 8


def check_complete(source: Source, key: str) -> None:
    """Refuses a file that is shorter than it declares.

    Args:
        source: The file.
        key: Its format; formats that declare no length pass.

    Raises:
        MediaCorrupt: The file was cut short.
    """
    is_cut = _CUT.get(key)
    if is_cut is not None and is_cut(source.data):
        label = detect(source.data).label
        raise MediaCorrupt(
            source.name, f"{label} that was cut short at {len(source.data):,} bytes", "a whole file"
        )


def _riff_is_cut(data: bytes) -> bool:
    """WAV and AVI: each top-level chunk states its size, and so does the file."""
    total = _number(data, 4, 4, "little")
    if total is None or (0 < total < _UNKNOWN_LENGTH and total > len(data) - 8 + _RIFF_SLACK):
        return True
    start = _RIFF_HEADER
    while (size := _number(data, start + 4, 4, "little")) is not None and size < _UNKNOWN_LENGTH:
        start += 8 + size + size % 2
        # The padding byte of the last chunk is often left out.
        if start - size % 2 > len(data):
            return True
    return False


def _aiff_is_cut(data: bytes) -> bool:
    """AIFF: the file states its size."""
    total = _number(data, 4, 4, "big")
    return total is None or total > len(data) - 8


def _mp4_is_cut(data: bytes) -> bool:
    """MP4 and MOV: each atom states its size; 1 defers to a longer field, 0 means the rest."""
    start = 0
    while (size := _number(data, start, 4, "big")) is not None:
        if size == 1:
            size = _number(data, start + 8, 8, "big") or 0
        if size < 8:
            return False
        start += size
        if start > len(data):
            return True
    return False


def _matroska_is_cut(data: bytes) -> bool:
    """WebM and MKV: a header, then one segment; each is an id of four bytes, a size, a body."""
    header_end = _ebml_end(data, 4)
    if header_end is None:
        return True
    segment_end = _ebml_end(data, header_end + 4)
    return segment_end is None or segment_end > len(data)


def _ebml_end(data: bytes, place: int) -> int | None:
    """Where the body whose size is written at a place ends; None past the end of the data."""
    first = _number(data, place, 1, "big")
    if not first:
        return None
    # Leading zeros count the further bytes, as in UTF-8; all ones below them mean "unknown".
    length = 9 - first.bit_length()
    raw = _number(data, place, length, "big")
    if raw is None:
        return None
    unknown = (1 << 7 * length) - 1
    size = raw & unknown
    return place + length + (0 if size == unknown else size)


def _ogg_is_cut(data: bytes) -> bool:
    """OGG: the last page lists the sizes of its parts; not every recorder marks it as the last."""
    page = data.rfind(b"OggS")
    num_parts = _number(data, page + 26, 1, "big")
    if num_parts is None:
        return True
    parts = data[page + 27 : page + 27 + num_parts]
    return len(data) < page + 27 + num_parts + sum(parts)


def _mp3_is_cut(data: bytes) -> bool:
    """MP3: encoders put a frame before the sound that may state the bytes that follow."""
    start = 0
    if data.startswith(b"ID3"):
        # Seven bits of each byte count.
        sizes = zip(data[6:10], (21, 14, 7, 0), strict=False)
        start = 10 + sum(byte << shift for byte, shift in sizes)
    head = data[start : start + 256]
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    flags = _number(head, tag + 4, 4, "big") if tag >= 0 else None
    if flags is None or not flags & 2:
        return len(data) <= start
    promised = _number(head, tag + 8 + 4 * (flags & 1), 4, "big") or 0
    return promised > len(data) - start


def _png_is_cut(data: bytes) -> bool:
    """PNG: the last chunk has a name of its own."""
    return b"IEND" not in data


def _gif_is_cut(data: bytes) -> bool:
    """GIF: blocks, each a run of sized parts, up to a closing byte."""
    place = 13 + _gif_colours(data, 10)
    while data[place : place + 1] in (b"!", b","):
        is_extension = data[place : place + 1] == b"!"
        place += 2 if is_extension else 11 + _gif_colours(data, place + 9)
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return data[place : place + 1] != b";"


def _gif_colours(data: bytes, place: int) -> int:
    """Bytes of the colour table that the flags at a place announce."""
    flags = data[place] if place < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _number(data: bytes, start: int, size: int, order: Literal["little", "big"]) -> int | None:
    """The whole number at a place, or None past the end."""
    raw = data[start : start + size]
    return int.from_bytes(raw, order) if len(raw) == size else None


_CUT: dict[str, Callable[[bytes], bool]] = {
    "wav": _riff_is_cut,
    "avi": _riff_is_cut,
    "aiff": _aiff_is_cut,
    "mp4": _mp4_is_cut,
    "matroska": _matroska_is_cut,
    "ogg": _ogg_is_cut,
    "mp3": _mp3_is_cut,
    "png": _png_is_cut,
    "gif": _gif_is_cut,
}
