import io
import logging
import struct
import zlib
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source
from tests.anymal.media.broken import chunk

LONG = zlib.compress(bytes(3 * 2**20))
RED = (255, 0, 0)


def decode(data: bytes) -> np.ndarray:
    return decode_image(Source(name="picture", data=data), Limits()).pixels


def with_chunk(data: bytes, more: bytes) -> bytes:
    """A PNG with one more chunk, behind its header."""
    return data[:33] + more + data[33:]


def with_bad_checksum(data: bytes, kind: bytes) -> bytes:
    place = data.index(kind) - 4
    end = place + 12 + int.from_bytes(data[place : place + 4], "big")
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"zTXt", b"workflow\0\0" + LONG),
        (b"iTXt", b"workflow\0\1\0\0\0" + LONG),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        (b"tEXt", b"prompt\0" + b"a cat " * 400_000),
        (b"iCCP", b"profile\0\0" + LONG),
        (b"zTXt", b"Raw profile type exif\0\0not zlib"),
    ],
    ids=["zTXt", "iTXt", "XMP", "tEXt", "iCCP", "damaged"],
)
def test_long_words_and_profiles_do_not_matter(
    kind: bytes, body: bytes, picture: Callable[..., bytes]
) -> None:
    data = picture("PNG")
    assert (decode(with_chunk(data, chunk(kind, body))) == decode(data)).all()


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iCCP", b"gAMA", b"pHYs", b"tIME", b"eXIf"])
def test_checksums_of_what_the_picture_does_not_need_do_not_matter(
    kind: bytes, picture: Callable[..., bytes]
) -> None:
    data = picture("PNG")
    odd = with_bad_checksum(with_chunk(data, chunk(kind, b"words\0\0made by hand")), kind)
    assert (decode(odd) == decode(data)).all()


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT", b"IEND"])
def test_checksums_of_what_it_needs_are_checked(kind: bytes, picture: Callable[..., bytes]) -> None:
    data = with_bad_checksum(picture("PNG", "P"), kind)
    with pytest.raises(MediaCorrupt, match=f"{kind.decode()} chunk fails its checksum"):
        decode(data)


def test_a_damaged_orientation_is_skipped_and_told(
    picture: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = picture("PNG", exif=exif)
    assert decode(data).shape == (60, 40, 3)
    with caplog.at_level(logging.WARNING, "anymal"):
        assert decode(with_bad_checksum(data, b"eXIf")).shape == (40, 60, 3)
    assert "eXIf chunk: it fails its checksum" in caplog.text


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_orientation_in_words_is_applied(is_packed: bool, picture: Callable[..., bytes]) -> None:
    words = b'<x:xmpmeta tiff:Orientation="6"></x:xmpmeta>'
    packed = b"\1\0\0\0" + zlib.compress(words) if is_packed else b"\0\0\0\0" + words
    data = with_chunk(picture("PNG"), chunk(b"iTXt", b"XML:com.adobe.xmp\0" + packed))
    assert decode(data).shape == (60, 40, 3)


def test_a_transparent_colour_is_needed() -> None:
    file = io.BytesIO()
    PIL.Image.new("P", (4, 4)).save(file, "PNG", transparency=0)
    assert (decode(file.getvalue()) == 255).all()


def test_what_follows_the_last_chunk_does_not_matter(picture: Callable[..., bytes]) -> None:
    data = picture("PNG")
    assert (decode(data + b"words behind the end") == decode(data)).all()


@pytest.mark.parametrize("num_missing", [1, 4, 12, 30])
def test_every_cut_is_noticed(num_missing: int, picture: Callable[..., bytes]) -> None:
    with pytest.raises(MediaCorrupt, match="cut short"):
        decode(picture("PNG")[:-num_missing])


def test_a_chunk_without_a_name_is_damage(picture: Callable[..., bytes]) -> None:
    with pytest.raises(MediaCorrupt, match="damaged at byte 37"):
        decode(with_chunk(picture("PNG"), chunk(b"\n\0xx", b"")))


def test_a_chunk_longer_than_the_file_is_a_cut(picture: Callable[..., bytes]) -> None:
    data = picture("PNG")
    with pytest.raises(MediaCorrupt, match="cut short"):
        decode(data[:33] + struct.pack(">I", 2**31 - 1) + data[37:])


def test_more_chunks_than_pictures_have_are_refused(picture: Callable[..., bytes]) -> None:
    with pytest.raises(MediaTooLarge, match="more than 100,000 chunks"):
        decode(with_chunk(picture(), chunk(b"tIME", b"") * 100_000))
