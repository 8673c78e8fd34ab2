import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video
from tests.anymal.media.heic import heic

PIXELS = np.zeros((96, 128, 3), np.uint8)
PIXELS[..., 2] = 255
PIXELS[:48, :64] = (255, 0, 0)


def decode(data: bytes, **limits: int) -> np.ndarray:
    return decode_image(Source(name="phone.heic", data=data), Limits(**limits)).pixels  # type: ignore[arg-type]


def test_heic_is_read() -> None:
    pixels = decode(heic(PIXELS))
    assert pixels.shape == (96, 128, 3)
    assert pixels.flags.writeable
    assert np.abs(pixels[::90, ::120].astype(int) - PIXELS[::90, ::120]).max() < 30


def test_heic_is_turned_as_it_says() -> None:
    pixels = decode(heic(PIXELS, quarter_turns=1))
    assert pixels.shape == (128, 96, 3)
    assert np.abs(pixels[-5, 5].astype(int) - (255, 0, 0)).max() < 30


def test_heic_is_a_film_of_one_frame() -> None:
    assert decode_video(Source(name="a", data=heic(PIXELS)), Limits()).frames.shape[0] == 1


def test_limits_hold_for_heic() -> None:
    with pytest.raises(MediaTooLarge, match="128 x 96"):
        decode(heic(PIXELS), max_pixels=128 * 96 - 1)


@pytest.mark.parametrize("said_size", [(64, 64), (4000, 4000)])
def test_heic_that_lies_about_its_size_is_refused(said_size: tuple[int, int]) -> None:
    with pytest.raises(MediaCorrupt):
        decode(heic(PIXELS, said_size=said_size))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_cut_heic_is_refused(share: float) -> None:
    data = heic(PIXELS)
    with pytest.raises(MediaCorrupt):
        decode(data[: int(len(data) * share)])
