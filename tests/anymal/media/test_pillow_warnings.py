import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import PIL.Image
import pytest

from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.pillow_warnings import as_log_lines
from anymal.media.source import Source


@pytest.fixture
def odd(picture: Callable[..., bytes]) -> bytes:
    """A photo whose EXIF ends too soon."""
    exif = PIL.Image.Exif()
    exif[0x010F] = "a camera whose name is long"
    data = picture("JPEG", exif=exif)
    start = data.index(b"Exif\0\0")
    place = data.index(b"\x01\x0f", start)
    # A value that lies behind the end of the tags.
    return data[: place + 8] + b"\0\0\xff\0" + data[place + 12 :]


def test_a_warning_becomes_a_line_without_paths(
    odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "anymal"):
        pixels = decode_image(Source(name="odd", data=odd), Limits()).pixels
    assert pixels.shape == (40, 60, 3)
    assert [record.name for record in caplog.records] == ["anymal.media.pillow_warnings"]
    message = caplog.records[0].getMessage()
    assert message.startswith("a picture: ")
    assert "/" not in message


def test_filters_are_as_before_when_all_threads_are_out(odd: bytes) -> None:
    before = (list(warnings.filters), warnings.showwarning)
    with ThreadPoolExecutor(4) as pool:
        source = Source(name="odd", data=odd)
        list(pool.map(lambda _: decode_image(source, Limits()), range(40)))
    assert (list(warnings.filters), warnings.showwarning) == before


def test_warnings_of_others_stay_what_they_are() -> None:
    with as_log_lines, pytest.warns(UserWarning, match="by another"):
        warnings.warn("by another", UserWarning, stacklevel=1)
