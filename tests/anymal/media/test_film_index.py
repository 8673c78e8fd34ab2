"""The index of a film is counted, whatever stands where its elements should."""

import pytest

from anymal.errors import MediaTooLarge
from anymal.media.film_index import check_index
from anymal.media.source import Source
from tests.anymal.media.small_films import box, matroska, numbers, table_mp4

MANY = table_mp4(stsz=numbers(0, 1, 50_000_000))


# An element whose size has 8, 5 or 2 bytes, of which one is there.
@pytest.mark.parametrize("end", ["ec01", "ec08", "ec40", "a340", "1f43b67501"])
def test_a_size_that_is_cut_ends_the_index(end: str) -> None:
    check_index(Source(name="film", data=matroska() + bytes.fromhex(end)), "matroska")


@pytest.mark.parametrize("kind", [b"free", b"hoov"])
def test_a_head_that_is_crossed_out_is_counted_as_ffmpeg_reads_it(kind: bytes) -> None:
    with pytest.raises(MediaTooLarge, match="50,000,000 packets"):
        check_index(Source(name="film", data=MANY.replace(b"moov", kind)), "mp4")


def test_the_head_of_words_is_found_behind_what_looks_like_one() -> None:
    track = MANY[MANY.rindex(b"trak") - 4 :]
    words = box(b"meta", b"\0\xff\xff\xff\xffhdlr\0\0\0", box(b"hdlr", bytes(24)), track)
    with pytest.raises(MediaTooLarge, match="50,000,001 packets"):
        check_index(Source(name="film", data=table_mp4() + box(b"moov", words)), "mp4")


@pytest.mark.parametrize("kind", [b"meta", b"stsd"])
def test_bytes_are_searched_once_however_often_a_search_begins(kind: bytes) -> None:
    # Each search would go through all that is behind it.
    data = table_mp4() + (bytes(4) + b"moov" + bytes(4) + kind) * 2**18
    check_index(Source(name="film", data=data), "mp4")
