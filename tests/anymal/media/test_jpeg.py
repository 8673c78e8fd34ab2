import logging
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from anymal.errors import MediaCorrupt
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source

KINDS = [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}]


def decode(data: bytes) -> np.ndarray:
    return decode_image(Source(name="picture", data=data), Limits()).pixels


@pytest.fixture(params=KINDS, ids=str)
def photo(request: pytest.FixtureRequest, picture: Callable[..., bytes]) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", size=(90, 70), exif=exif, **request.param)


@pytest.mark.parametrize("end", [b"", b"\xff", b"\0" * 9], ids=["none", "half", "padding"])
def test_an_end_marker_may_be_missing(
    end: bytes, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "anymal"):
        pixels = decode(photo[:-2] + end)
    assert (pixels == decode(photo)).all()
    assert "lacks its end marker" in caplog.text


@pytest.mark.parametrize("num_missing", [3, 4, 6, 10, 40])
def test_a_missing_pixel_is_noticed(num_missing: int, photo: bytes) -> None:
    with pytest.raises(MediaCorrupt, match=r"cut short|truncated"):
        decode(photo[:-num_missing])


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8])
def test_larger_cuts_are_noticed(share: float, photo: bytes) -> None:
    with pytest.raises(MediaCorrupt):
        decode(photo[: int(len(photo) * share)])


@pytest.mark.parametrize("more", [b"\xff\xda words", b"\xff\xda\0\x0c\x03 like a scan"])
def test_what_follows_the_end_does_not_matter(more: bytes, photo: bytes) -> None:
    assert (decode(photo + more) == decode(photo)).all()
