"""How large an index the head of a film makes FFmpeg build, told before FFmpeg opens it.

A head of a kilobyte can declare millions of frames. This counts what MP4 and Matroska declare; it
reads no media. Other formats hold at least as many bytes as their index takes.
"""

import re
import struct
from collections.abc import Callable, Iterator

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.source import Source

MOST_TRACKS = 64
# Entries of an index take about 50 bytes each. Ten minutes of sound in pieces of 5 ms have 120,000.
_MOST_ENTRIES = 2_000_000
# FFmpeg may hold all packets at once, 500 bytes each, until it knows the tracks.
_MOST_PACKETS = 400_000
# FFmpeg compares each word with all before it.
_MOST_WORDS = 5_000
_MOST_PIECES = 400_000
# Raw sound has a frame for each sample; FFmpeg reads at least so many together.
_TOGETHER = 160

_ATOMS = frozenset(
    [
        *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"),
        *(b"udta", b"ilst", b"dinf", b"wave", b"sinf", b"schi", b"tref", b"gmhd", b"iprp"),
    ]
)
_WORDS = (b"udta", b"ilst")
# FFmpeg would look for tables there too.
_HIDDEN = re.compile(rb"stsz|stz2|trun|elst|trak|traf|cmov")

_TRACK, _WORD = 0xAE, 0x67C8
_BLOCKS = (0xA1, 0xA3)
_ELEMENTS = frozenset(
    [
        *(0x18538067, 0x1F43B675, 0xA0),  # segment, cluster, group of blocks
        *(0x1654AE6B, _TRACK, 0xE0, 0xE1, 0x6D80, 0x6240, 0x5034, 0x5035),  # tracks
        *(0x1254C367, 0x7373, 0x63C0, _WORD),  # tags
        *(0x1043A770, 0x45B9, 0xB6, 0x80),  # chapters
        *(0x1C53BB6B, 0xBB, 0xB7),  # cues
        *(0x1941A469, 0x61A7, 0x114D9B74, 0x4DBB, 0x1549A966),  # attachments, places, facts
    ]
)


def check_index(source: Source, key: str) -> None:
    """Refuses a film whose head declares more than a film of an accepted length needs.

    Args:
        source: The file.
        key: Its format; those that declare nothing pass.

    Raises:
        MediaTooLarge: Too many frames, tracks, words or pieces.
        MediaUnsupported: A head that is itself packed.
        MediaCorrupt: Tables where none belong.
    """
    check = _CHECKS.get(key)
    if check is not None:
        check(source)


def _check_mp4(source: Source) -> None:
    """MP4 and MOV: counts of frames stand in tables, one for each track or fragment."""
    data = source.data
    tracks: list[_Track] = []
    counts = _Counts(source.name)
    for kind, parent, start, end in _atoms(data):
        counts.add(pieces=1, words=int(parent in _WORDS))
        if kind == b"cmov":
            raise MediaUnsupported(source.name, "a packed head", "a film whose head is not packed")
        if kind == b"stsd" and _HIDDEN.search(data, start, end):
            raise MediaCorrupt(source.name, "sample tables in a description", "a whole film")
        if kind == b"trak" or not tracks:
            tracks.append(_Track())
            counts.add(tracks=int(kind == b"trak"))
        if kind == b"keys":
            counts.add(words=_u32(data, start + 4))
        elif kind == b"trun":
            counts.add(packets=_u32(data, start + 4))
        else:
            tracks[-1].read(data, kind, start, end)
    for track in tracks:
        counts.add(packets=track.num_packets(), entries=track.num_entries())


def _atoms(data: bytes) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Each atom that FFmpeg reads: its kind, that of the one around it, and its body's place."""
    folders = [(b"", 0, len(data))]
    while folders:
        parent, place, last = folders.pop()
        if place + 8 > last:
            continue
        size, kind, start = _u32(data, place), data[place + 4 : place + 8], place + 8
        if size == 1 and place + 16 <= last:
            (size,), start = struct.unpack_from(">Q", data, start), start + 8
        end = place + size if size else last
        if end < start:
            continue
        end = min(end, last)
        folders.append((parent, end, last))
        yield kind, parent, start, end
        if kind == b"meta":
            if (head := _head_of_words(data, start, end)) is not None:
                folders.append((kind, head, end))
        elif kind in _ATOMS or _is_crossed_out(data, kind, start):
            folders.append((kind, start, end))


def _head_of_words(data: bytes, start: int, end: int) -> int | None:
    """Where FFmpeg begins to read words: it looks for their head in steps of four bytes."""
    place = data.find(b"hdlr", start, end)
    while place >= 0 and (place - start) % 4:
        place = data.find(b"hdlr", place + 1, end)
    return place - 4 if place >= 0 else None


def _is_crossed_out(data: bytes, kind: bytes, start: int) -> bool:
    """Whether FFmpeg takes what is marked as free for the film's head."""
    return kind in (b"free", b"hoov") and data[start + 4 : start + 8] in (b"mvhd", b"cmov")


class _Track:
    """What the tables of a track declare."""

    def __init__(self) -> None:
        self._num_frames = 0
        self._num_edits = 0
        self._is_sound = False
        self._is_by_sample = False

    def read(self, data: bytes, kind: bytes, start: int, end: int) -> None:
        """Notes what one atom declares."""
        if kind in (b"stsz", b"stz2"):
            self._num_frames += _u32(data, start + 8)
        elif kind == b"elst":
            self._num_edits += _u32(data, start + 4)
        elif kind == b"hdlr" and data[start + 8 : start + 12] in (b"soun", b"vide"):
            self._is_sound = data[start + 8 : start + 12] == b"soun"
        elif kind == b"stts":
            self._is_by_sample = (_u32(data, start + 4), _u32(data, start + 12)) == (1, 1)

    def num_packets(self) -> int:
        """Pieces in which the track is read."""
        num_together = _TOGETHER if self._is_sound and self._is_by_sample else 1
        return self._num_frames // num_together

    def num_entries(self) -> int:
        """Entries of the index; each edit may make one of every frame."""
        return self.num_packets() * max(1, self._num_edits)


class _Counts:
    """What was found so far in a file, refused beyond a bound."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found = dict.fromkeys(_MOST, 0)

    def add(self, **more: int) -> None:
        """Adds to the counts of `_MOST`."""
        for what, number in more.items():
            self._found[what] += number
            if self._found[what] > _MOST[what]:
                found = f"a head that declares {self._found[what]:,} {what} or more"
                raise MediaTooLarge(self._name, found, f"at most {_MOST[what]:,} {what}")


def _check_matroska(source: Source) -> None:
    """WebM and MKV: FFmpeg makes a structure of each element, and packets of each block."""
    counts = _Counts(source.name)
    for key, start in _elements(source.data):
        if key in _BLOCKS:
            counts.add(packets=_num_laced(source.data, start))
        else:
            counts.add(pieces=1, tracks=int(key == _TRACK), words=int(key == _WORD))


def _num_laced(data: bytes, start: int) -> int:
    """Packets in a block: behind its track's number, its time and its flags, it may count them."""
    flags = start + 12 - data[start].bit_length() - 1
    is_laced = flags + 1 < len(data) and data[flags] & 0b110
    return data[flags + 1] + 1 if is_laced else 1


def _elements(data: bytes) -> Iterator[tuple[int, int]]:
    """The keys of the elements, and where their bodies begin."""
    folders = [(0, len(data))]
    while folders:
        place, last = folders.pop()
        if place >= last or not data[place]:
            continue
        start = place + 9 - data[place].bit_length()
        key = int.from_bytes(data[place:start], "big")
        if start >= last or not data[start]:
            continue
        length = 9 - data[start].bit_length()
        if start + length > len(data):
            continue
        size = int.from_bytes(data[start : start + length], "big") - (1 << 7 * length)
        start += length
        is_unknown = size == (1 << 7 * length) - 1
        end = last if is_unknown else min(last, start + size)
        folders.append((end, last))
        if start < last:
            yield key, start
        if key in _ELEMENTS:
            folders.append((start, end))


def _u32(data: bytes, place: int) -> int:
    """The number at a place; 0 past the end."""
    return int.from_bytes(data[place : place + 4], "big")


_MOST = {
    "packets": _MOST_PACKETS,
    "entries": _MOST_ENTRIES,
    "tracks": MOST_TRACKS,
    "words": _MOST_WORDS,
    "pieces": _MOST_PIECES,
}
_CHECKS: dict[str, Callable[[Source], None]] = {"mp4": _check_mp4, "matroska": _check_matroska}
