"""PNG files without the parts that their pixels do not need.

Image generators write workflows of megabytes into text chunks, and editors break the checksum of a
chunk that they change. Neither touches the picture, but a strict reader refuses the file for them.
This decodes no pixels.
"""

import logging
import zlib
from collections.abc import Iterator

from anymal.errors import MediaCorrupt, MediaTooLarge
from anymal.media.source import Source

logger = logging.getLogger(__name__)

_SIGNATURE_LENGTH = 8
_FRAME_LENGTH = 12
# Beside the critical chunks: one colour that is transparent, and the orientation.
_NEEDED = (b"tRNS", b"eXIf")
# Texts that can hold the orientation too.
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTATION_WORDS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
_LONGEST_WORD = 80
# Pixels come in pieces of some kilobytes, so the largest file has 10,000.
_MOST_CHUNKS = 100_000
_LONGEST_TEXT = 2**20


def with_needed_chunks(source: Source) -> bytes:
    """Leaves out the chunks that do not change the picture, and those that are damaged or too long.

    Args:
        source: A PNG file.

    Returns:
        A PNG file of the same picture.

    Raises:
        MediaCorrupt: The file was cut short, or a chunk that the picture needs is damaged.
        MediaTooLarge: Too many chunks.
    """
    kept = [memoryview(source.data)[:_SIGNATURE_LENGTH]]
    words_left = set(_ORIENTATION_WORDS)
    for kind, chunk in _chunks(source):
        is_sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        is_critical = not kind[0] & 0x20
        if is_critical and not is_sound:
            found = f"a PNG image whose {kind.decode()} chunk fails its checksum"
            raise MediaCorrupt(source.name, found, "an undamaged file")
        word = _word(chunk) if kind in _TEXTS else b""
        if not is_critical and kind not in _NEEDED and word not in words_left:
            continue
        words_left.discard(word)
        if not is_sound or (word and _is_too_long(kind, bytes(chunk[8 + len(word) + 1 : -4]))):
            why = "is longer than 1 MiB" if is_sound else "fails its checksum"
            logger.warning("skipped a PNG's %s chunk: it %s", kind.decode(), why)
            continue
        kept.append(chunk)
    return b"".join(kept)


def _chunks(source: Source) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's kind and all its bytes, up to the last chunk."""
    data, place, kind = memoryview(source.data), _SIGNATURE_LENGTH, b""
    num_chunks = 0
    while kind != b"IEND":
        num_chunks += 1
        if num_chunks > _MOST_CHUNKS:
            found = f"a PNG image of more than {_MOST_CHUNKS:,} chunks"
            raise MediaTooLarge(source.name, found, f"at most {_MOST_CHUNKS:,} chunks")
        end = place + _FRAME_LENGTH + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            found = f"a PNG image that was cut short at {len(data):,} bytes"
            raise MediaCorrupt(source.name, found, "a whole file")
        kind = bytes(data[place + 4 : place + 8])
        if not kind.isalpha():
            found = f"a PNG image that is damaged at byte {place + 4:,}"
            raise MediaCorrupt(source.name, found, "an undamaged file")
        yield kind, data[place:end]
        place = end


def _word(chunk: memoryview) -> bytes:
    """What a text is about: the characters before the first zero."""
    return bytes(chunk[8 : 8 + _LONGEST_WORD]).partition(b"\0")[0]


def _is_too_long(kind: bytes, text: bytes) -> bool:
    """Whether a text unpacks to more than Pillow reads."""
    if kind == b"iTXt" and text[:1] == b"\1":
        # Behind the two bytes that say how it is packed: a language, and the word translated.
        text = text[2:].split(b"\0", 2)[-1]
    elif kind == b"zTXt":
        text = text[1:]
    else:
        return len(text) > _LONGEST_TEXT
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(text, _LONGEST_TEXT)
    except zlib.error:
        return False
    return bool(unpacker.unconsumed_tail)
