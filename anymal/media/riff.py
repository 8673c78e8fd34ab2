"""The chunks of WAV and AIFF files, and their sound with sizes that are true.

Sizes are hints: a writer that cannot go back leaves 0 or the largest there is, and others count a
head twice or leave out a tag. Only sound that is missing, or bytes of which no size tells whether
they are sound, make a file unreadable. It decodes nothing.
"""

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from anymal.errors import MediaCorrupt
from anymal.media.source import Source

logger = logging.getLogger(__name__)

# Writers to a pipe cannot go back to fill in a length: they leave the largest there is, or about.
UNKNOWN_SIZE = 0x7FFF0000

_HEAD = 12
_MAX_CHUNKS = 100_000
_FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
_NEXT_FILE = re.compile(rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE|FORM.{4}AIF[FC]", re.DOTALL)
# What says how the sound is stored, and the sound.
_FORM = {"wav": (b"fmt ",), "aiff": (b"FVER", b"COMM")}
_SOUND = {"wav": b"data", "aiff": b"SSND"}
_MPEG_TAGS = (0x0050, 0x0055, 0x00FF)
_EXTENSIBLE = 0xFFFE
# Tags, and chunks of words and marks, which may be cut as they hold no sound.
_NO_SOUND = (
    *(b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"<?xpacket"),
    *(b"LIST", b"JUNK", b"junk", b"PAD ", b"FLLR", b"bext", b"iXML", b"id3 ", b"_PMX", b"axml"),
    *(b"cue ", b"smpl", b"inst", b"fact", b"PEAK", b"acid", b"cart", b"chna", b"MARK", b"INST"),
    *(b"NAME", b"AUTH", b"ANNO", b"COMT", b"APPL", b"CHAN"),
)
# Bytes behind the end that nothing explains: up to this many, or this share of the sound.
_LOOSE_BYTES = 4096
_LOOSE_SHARE = 0.1

Order = Literal["little", "big"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a file.

    Attributes:
        kind: Its name, four letters.
        start: Where its body begins.
        size: How many bytes it says that the body has.
    """

    kind: bytes
    start: int
    size: int


def read_chunk(data: bytes, place: int, order: Order) -> Chunk | None:
    """Reads the head of a chunk.

    Args:
        data: The file's bytes.
        place: Where the head begins.
        order: How numbers are written.

    Returns:
        The chunk, or None where no name stands there.
    """
    head = data[place : place + 8]
    if len(head) < 8 or not all(32 <= byte < 127 for byte in head[:4]):
        return None
    return Chunk(kind=head[:4], start=place + 8, size=int.from_bytes(head[4:], order))


def is_mpeg(data: bytes) -> bool:
    """Whether the WAV file that `with_true_sizes` gives holds MP3 or the like.

    Args:
        data: The bytes of that file.

    Returns:
        True if so.
    """
    place = _HEAD + 8
    tag = int.from_bytes(data[place : place + 2], "little")
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(data[place + 24 : place + 26], "little")
    return data.startswith(b"RIFF") and tag in _MPEG_TAGS


def with_true_sizes(source: Source, key: str) -> bytes:
    """A WAV or an AIFF file rewritten, with nothing but its sound and how that is stored.

    Args:
        source: The file. Others of the same kind may be joined to its end.
        key: "wav" or "aiff".

    Returns:
        The bytes of such a file; chunks are in order, and each size is true.

    Raises:
        MediaCorrupt: The sound was cut short, or sizes disagree about where it ends.
    """
    data = source.data
    order: Order = "little" if key == "wav" and data[:4] != b"RIFX" else "big"
    form: dict[bytes, bytes] = {}
    # Views: a long sound is copied once.
    sound: list[memoryview] = []
    for chunk in _chunks(source, key, order):
        body = memoryview(data)[chunk.start : chunk.start + chunk.size]
        if len(body) < chunk.size:
            raise _cut(source, key)
        if chunk.kind == _SOUND[key]:
            # An AIFF's sound begins with two numbers of its own.
            sound.append(body[8:] if sound and key == "aiff" else body)
        elif form.setdefault(chunk.kind, bytes(body)) != body:
            raise MediaCorrupt(
                source.name, "joined sounds that are stored differently", "one sound in a file"
            )
    if not sound or _FORM[key][-1] not in form:
        raise _cut(source, key)
    head = {"little": b"RIFF", "big": b"RIFX"}[order] if key == "wav" else b"FORM"
    return _file(head, data[8:12], [*form.items(), (_SOUND[key], *sound)], order)


def _file(
    head: bytes, kind: bytes, chunks: list[tuple[bytes | memoryview, ...]], order: Order
) -> bytes:
    """A file of chunks, each a name and the parts of its body."""
    number = ">I" if order == "big" else "<I"
    pieces: list[bytes | memoryview] = []
    for name, *parts in chunks:
        size = sum(len(part) for part in parts)
        pieces += (name, struct.pack(number, size), *parts, bytes(size % 2))
    total = len(kind) + sum(len(piece) for piece in pieces)
    return b"".join((head, struct.pack(number, total), kind, *pieces))


def _chunks(source: Source, key: str, order: Order) -> Iterator[Chunk]:
    """The chunks that matter, sizes that are known to be wrong replaced."""
    data = source.data
    file_start, place = 0, _HEAD
    num_sound: int | None = None
    for _ in range(_MAX_CHUNKS):
        chunk = read_chunk(data, place, order)
        if chunk is None:
            break
        if chunk.kind in _FILES and _NEXT_FILE.match(data, place):
            file_start, place = place, place + _HEAD
            continue
        if chunk.kind == _SOUND[key]:
            chunk = _sized(data, chunk, order, file_start)
            num_sound = (num_sound or 0) + chunk.size
            yield chunk
        elif chunk.start + chunk.size > len(data):
            break
        elif chunk.kind in _FORM[key]:
            yield chunk
        place = _next_place(data, chunk, order)
    if num_sound is not None:
        _check_rest(source, place, _file_end(data, file_start, order), num_sound)


def _file_end(data: bytes, file_start: int, order: Order) -> int | None:
    """Where a file that begins at a place says that it ends; None where it does not know."""
    size = _long_size(data, file_start, 20)
    size = size or int.from_bytes(data[file_start + 4 : file_start + 8], order)
    return file_start + 8 + size if 0 < size < UNKNOWN_SIZE else None


def _long_size(data: bytes, file_start: int, place: int) -> int:
    """A size of eight bytes in the first chunk of an RF64 file; 0 in another."""
    is_long = data[file_start + _HEAD : file_start + _HEAD + 4] == b"ds64"
    raw = data[file_start + place : file_start + place + 8]
    return int.from_bytes(raw, "little") if is_long else 0


def _sized(data: bytes, chunk: Chunk, order: Order, file_start: int) -> Chunk:
    """The sound, up to the end or to the next file where its size was never written."""
    size = chunk.size
    if size == 0xFFFFFFFF:
        size = _long_size(data, file_start, 28) or size
    if size == 0 and not _is_end(data, chunk.start, order):
        size = UNKNOWN_SIZE
    if UNKNOWN_SIZE <= size < 2**32:
        joined = _NEXT_FILE.search(data, chunk.start)
        size = (joined.start() if joined else len(data)) - chunk.start
    return Chunk(kind=chunk.kind, start=chunk.start, size=size)


def _is_end(data: bytes, place: int, order: Order) -> bool:
    """Whether a chunk, or the file, ends at a place: nothing or a whole chunk follows."""
    if place >= len(data):
        return True
    chunk = read_chunk(data, place, order)
    return chunk is not None and chunk.start + chunk.size <= len(data) + 1


def _next_place(data: bytes, chunk: Chunk, order: Order) -> int:
    """Where the next chunk begins; some writers leave out the byte behind an odd one."""
    end = chunk.start + chunk.size
    if chunk.size % 2 and not _is_end(data, end + 1, order) and _is_end(data, end, order):
        return end
    return min(end + chunk.size % 2, max(end, len(data)))


def _check_rest(source: Source, place: int, file_end: int | None, num_sound: int) -> None:
    """Refuses bytes behind the last chunk that may be sound; says that others are left out."""
    rest = source.data[place:]
    if not rest:
        return
    is_tag = rest.startswith(_NO_SOUND) or _is_text(rest)
    is_behind = file_end is not None and abs(file_end - place) <= 1
    is_padding = is_behind and not any(rest)
    is_little = is_behind and len(rest) <= max(_LOOSE_BYTES, _LOOSE_SHARE * num_sound)
    if not (is_tag or is_padding or is_little):
        found = f"{len(rest):,} bytes behind the sound that its sizes do not explain"
        raise MediaCorrupt(source.name, found, "sizes that agree; save the sound again")
    logger.warning("%s: %s bytes behind the sound are left out", source.name, f"{len(rest):,}")


def _is_text(data: bytes) -> bool:
    """Whether bytes are plain text."""
    return data.isascii() and data.decode().replace("\n", " ").replace("\r", " ").isprintable()


def _cut(source: Source, key: str) -> MediaCorrupt:
    """The error for sound that is missing."""
    found = f"{'a WAV' if key == 'wav' else 'an AIFF'} sound that was cut short"
    return MediaCorrupt(source.name, f"{found} at {len(source.data):,} bytes", "a whole file")
