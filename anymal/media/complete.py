"""Whether a file arrived whole, told from the lengths that it declares itself.

Decoders take a file that was cut short for a shorter one; this says so before they run. Only media
that are missing make a cut: bytes behind the last piece are no part of a file. It reads only
lengths and does not otherwise check a file; `anymal.media.riff` does so for WAV and AIFF.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.formats import TS_SYNC, detect, ts_packets
from anymal.media.mpeg_audio import cut_frame, id3_length
from anymal.media.ogg import page_end
from anymal.media.riff import UNKNOWN_SIZE, read_chunk
from anymal.media.source import Source

_RIFF_HEADER = 12
# What a film or a sound cannot do without: its description and its media, whole or in fragments.
_MEDIA_ATOMS = (b"moov", b"moof", b"mdat")
# The marks of a WebM's or MKV's parts: segment, cluster, and what is in them.
_PARTS = (
    *(b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa3", b"\xa0", b"\xe7", b"\xab", b"\xec"),
    *(b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\x1c\x53\xbb\x6b"),
    b"\x12\x54\xc3\x67",
)
# More than the largest file has: a GIF's parts hold 255 bytes each.
_MAX_PARTS = 300_000
_LONGEST_EBML_SIZE = 8

# Their names, and where each ends.
Parts = Iterator[tuple[bytes, int]]


def check_complete(source: Source, key: str) -> None:
    """Refuses a file that is shorter than it declares.

    Args:
        source: The file.
        key: Its format; formats that declare no length pass.

    Raises:
        MediaCorrupt: The file was cut short.
        MediaTooLarge: It is of more parts than accepted.
    """
    is_cut = _CUT.get(key)
    try:
        found = is_cut is not None and is_cut(source.data)
    except OverflowError as error:
        most = f"at most {_MAX_PARTS:,} parts"
        raise MediaTooLarge(source.name, f"a file of {error}", most) from error
    if found:
        label = detect(source.data).label
        raise MediaCorrupt(
            source.name, f"{label} that was cut short at {len(source.data):,} bytes", "a whole file"
        )


def check_joined(source: Source, key: str) -> None:
    """Refuses files that were joined where a decoder would read the first and leave the rest.

    Args:
        source: The file.
        key: Its format.

    Raises:
        MediaUnsupported: Several files in one.
    """
    is_joined = False
    if key == "mp4":
        # Fragments may each bring their own head; they are read on.
        kinds = [kind for kind, _ in _atoms(source.data)]
        is_joined = kinds.count(b"ftyp") > 1 and b"moof" not in kinds
    elif key == "caf":
        is_joined = any(kind == b"caff" for kind, _ in _caf_chunks(source.data))
    if is_joined:
        found = f"several files joined to one, the first {detect(source.data).label}"
        raise MediaUnsupported(source.name, found, "one file at a time; send them one by one")


def _few(walk: Callable[[bytes], Parts]) -> Callable[[bytes], Parts]:
    """Ends a walk over more parts than files have; each costs time."""

    def walked(data: bytes) -> Parts:
        for number, part in enumerate(walk(data)):
            if number == _MAX_PARTS:
                raise OverflowError(f"more than {_MAX_PARTS:,} parts")
            yield part

    return walked


def _avi_is_cut(data: bytes) -> bool:
    """AVI: the list of pictures and sounds states its size, and so does the index behind it."""
    return _is_cut(data, (end for name, end in _avi_lists(data) if name in (b"movi", b"idx1")))


@_few
def _avi_lists(data: bytes) -> Parts:
    """The names of an AVI's chunks, of lists their types, and where each ends."""
    place = _RIFF_HEADER
    while (chunk := read_chunk(data, place, "little")) is not None:
        if chunk.kind == b"RIFF":
            # Long films go on in further parts.
            place += _RIFF_HEADER
            continue
        # A film written to a pipe does not know its size.
        is_known = 0 < chunk.size < UNKNOWN_SIZE or chunk.kind != b"LIST"
        end = chunk.start + chunk.size if is_known else len(data)
        name = data[chunk.start : chunk.start + 4] if chunk.kind == b"LIST" else chunk.kind
        yield name, end
        place = end + end % 2


def _mp4_is_cut(data: bytes) -> bool:
    """MP4 and MOV: each atom states its size; 1 defers to a longer field, 0 means the rest."""
    return _is_cut(data, (end for kind, end in _atoms(data) if kind in _MEDIA_ATOMS))


@_few
def _atoms(data: bytes) -> Parts:
    """The names of an MP4's atoms and where each ends."""
    start = 0
    while (size := _number(data, start, 4, "big")) is not None:
        kind = data[start + 4 : start + 8]
        if size == 1:
            size = _number(data, start + 8, 8, "big") or 0
        if size == 0 and len(kind) == 4:
            size = len(data) - start
        if size < 8:
            return
        start += size
        yield kind, start


def _caf_is_cut(data: bytes) -> bool:
    """CAF: each chunk states its size; the largest there is means the rest."""
    return _is_cut(data, (end for kind, end in _caf_chunks(data) if kind == b"data"))


@_few
def _caf_chunks(data: bytes) -> Parts:
    """The names of a CAF's chunks and where each ends."""
    start = 8
    while (size := _number(data, start + 4, 8, "big")) is not None:
        kind = data[start : start + 4]
        start = len(data) if size == 2**64 - 1 else start + 12 + size
        yield kind, start


def _is_cut(data: bytes, ends: Iterable[int]) -> bool:
    """Whether a piece that holds media ends past the end of the file, or there is none.

    Other pieces may: bytes behind the last piece look like the head of another.
    """
    last = max(ends, default=None)
    return last is None or last > len(data)


def _matroska_is_cut(data: bytes) -> bool:
    """WebM and MKV: a header, then one segment; each is an id of four bytes, a size, a body."""
    header_end = _ebml_end(data, 4)
    if header_end is None:
        return True
    segment = header_end + 4
    segment_end = _ebml_end(data, segment)
    if segment_end is None or segment_end > len(data):
        return True
    is_open = segment_end - segment <= _LONGEST_EBML_SIZE
    return is_open and _last_block_is_cut(data, segment_end)


def _last_block_is_cut(data: bytes, place: int) -> bool:
    """Recorders leave the sizes of outer parts open, as they cannot go back, but not of blocks."""
    for _ in range(_MAX_PARTS):
        kind = next((kind for kind in _PARTS if data.startswith(kind, place)), None)
        if kind is None:
            return False
        end = _ebml_end(data, place + len(kind))
        if end is None or end > len(data):
            return True
        # Of a part of open size, this is where what it holds begins.
        place = end
    return False


def _mpegts_is_cut(data: bytes) -> bool:
    """MPEG transport streams: packets of one length."""
    start, step = ts_packets(data) or (0, len(data))
    last = len(data) - len(data) % step
    return data[last + start : last + start + 1] == TS_SYNC


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
    return page_end(data, data.rfind(b"OggS")) > len(data)


def _mp3_is_cut(data: bytes) -> bool:
    """MP3: a frame before the sound may state the bytes that follow; each frame states its own."""
    start = id3_length(data)
    head = data[start : start + 256]
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    flags = _number(head, tag + 4, 4, "big") if tag >= 0 else None
    if flags is None or not flags & 2:
        return len(data) <= start or cut_frame(data) is not None
    promised = _number(head, tag + 8 + 4 * (flags & 1), 4, "big") or 0
    return promised > len(data) - start


def _aac_is_cut(data: bytes) -> bool:
    """AAC in frames of ADTS: each states its own length."""
    return cut_frame(data) is not None


def _png_is_cut(data: bytes) -> bool:
    """PNG: the last chunk has a name of its own."""
    return b"IEND" not in data


def _gif_is_cut(data: bytes) -> bool:
    """GIF: blocks up to a closing byte."""
    end = max((end for _, end in _gif_parts(data)), default=13 + _gif_colours(data, 10))
    return data[end : end + 1] != b";"


@_few
def _gif_parts(data: bytes) -> Parts:
    """The mark of the block that each sized part of a GIF belongs to, and where the part ends."""
    place = 13 + _gif_colours(data, 10)
    while (mark := data[place : place + 1]) in (b"!", b","):
        place += 2 if mark == b"!" else 11 + _gif_colours(data, place + 9)
        while place < len(data) and data[place]:
            place += 1 + data[place]
            yield mark, place
        place += 1
        yield mark, place


def _gif_colours(data: bytes, place: int) -> int:
    """Bytes of the colour table that the flags at a place announce."""
    flags = data[place] if place < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _number(data: bytes, start: int, size: int, order: Literal["little", "big"]) -> int | None:
    """The whole number at a place, or None past the end."""
    raw = data[start : start + size]
    return int.from_bytes(raw, order) if len(raw) == size else None


_CUT: dict[str, Callable[[bytes], bool]] = {
    "avi": _avi_is_cut,
    "mp4": _mp4_is_cut,
    "caf": _caf_is_cut,
    "matroska": _matroska_is_cut,
    "mpegts": _mpegts_is_cut,
    "ogg": _ogg_is_cut,
    "mp3": _mp3_is_cut,
    "aac": _aac_is_cut,
    "png": _png_is_cut,
    "gif": _gif_is_cut,
}
