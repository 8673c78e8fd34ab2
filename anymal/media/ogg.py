"""The links of an OGG file: whole streams that were joined end to end.

Decoders read the first and stop. It reads only the heads of pages and decodes nothing.
"""

from collections.abc import Iterator
from dataclasses import replace

from anymal.errors import MediaTooLarge
from anymal.media.source import Source

_PAGE_HEAD = 27
_FIRST_PAGE = 0x02
# Each link costs a decoder of its own.
_MAX_LINKS = 1000
_SINGLE = (b"\x01vorbis", b"OpusHead")


def links(source: Source) -> Iterator[Source]:
    """Takes an OGG file apart where a new stream begins after pages of another.

    Args:
        source: The file.

    Yields:
        Each link, without what may stand between links or behind the last one.

    Raises:
        MediaTooLarge: More links than people join.
    """
    data = source.data
    start, end, was_first, num_links = 0, 0, True, 1
    place = data.find(b"OggS")
    while place >= 0:
        is_first = bool(data[place + 5 : place + 6] and data[place + 5] & _FIRST_PAGE)
        if is_first and not was_first:
            yield replace(source, data=data[start:end])
            start, num_links = place, num_links + 1
            if num_links > _MAX_LINKS:
                found = f"more than {_MAX_LINKS:,} joined sounds"
                raise MediaTooLarge(source.name, found, f"at most {_MAX_LINKS:,}")
        was_first = is_first
        end = page_end(data, place)
        place = data.find(b"OggS", end)
    yield replace(source, data=data[start:end])


def page_end(data: bytes, place: int) -> int:
    """Where a page ends, which is past the end of the data where it was cut.

    Args:
        data: The file's bytes.
        place: Where the page begins.

    Returns:
        The place behind its last byte.
    """
    parts = place + _PAGE_HEAD
    num_parts = data[parts - 1] if parts <= len(data) else 255
    return parts + num_parts + sum(data[parts : parts + num_parts])


def is_vorbis_or_opus(link: bytes) -> bool:
    """Whether a link holds one stream of Vorbis or Opus and nothing else.

    Args:
        link: The bytes of the link.

    Returns:
        True if so.
    """
    end = page_end(link, 0)
    body = link[_PAGE_HEAD + 1 : end]
    is_alone = end + 5 < len(link) and not link[end + 5] & _FIRST_PAGE
    return is_alone and body.startswith(_SINGLE)
