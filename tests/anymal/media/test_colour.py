import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from anymal.media.colour import to_rgb

BT_601, BT_709, UNTAGGED = 5, 1, 2
# BT.709's red over 8 bits, and how a screen shows it that takes it as BT.601's.
RED_709, RED_AS_601 = (63, 102, 240), (233, 0, 2)


def frame(
    width: int, height: int, matrix: int, yuv: tuple[int, ...], pixel_format: str = "yuv444p"
) -> av.VideoFrame:
    made = av.VideoFrame(width, height, pixel_format)
    for plane, value in zip(made.planes, yuv, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    made.colorspace = matrix
    return made


@pytest.mark.parametrize(
    ("size", "is_709"),
    [((640, 480), False), ((720, 576), False), ((1280, 534), True), ((720, 1280), True)],
)
def test_untagged_films_are_taken_as_what_their_size_says(
    size: tuple[int, int], is_709: bool
) -> None:
    found = to_rgb(frame(*size, UNTAGGED, RED_709))[0, 0].tolist()
    assert found == pytest.approx((255, 0, 0) if is_709 else RED_AS_601, abs=3)


@pytest.mark.parametrize("size", [(64, 48), (1280, 720)])
def test_tags_win(size: tuple[int, int]) -> None:
    assert to_rgb(frame(*size, BT_709, RED_709))[0, 0].tolist() == pytest.approx((255, 0, 0), abs=3)
    assert to_rgb(frame(*size, BT_601, RED_709))[0, 0].tolist() == pytest.approx(RED_AS_601, abs=3)


@pytest.mark.parametrize("matrix", [Colorspace.BT2020, UNTAGGED])
@pytest.mark.parametrize(
    # 75% and 58% of the signal: HDR's reference white, in the narrow range of 10 bits.
    ("transfer", "luma"),
    [(ColorTrc.ARIB_STD_B67, 64 + 0.75 * 876), (ColorTrc.SMPTE2084, 64 + 0.5807 * 876)],
)
def test_hdr_is_mapped(transfer: ColorTrc, luma: float, matrix: int) -> None:
    made = av.VideoFrame(16, 16, "yuv444p10le")
    for plane, value in zip(made.planes, (round(luma), 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
    made.colorspace, made.color_trc = matrix, transfer
    made.color_primaries = ColorPrimaries.BT2020
    assert to_rgb(made)[0, 0].tolist() == pytest.approx((230, 230, 230), abs=2)


def test_transparency_is_laid_over_white() -> None:
    clear = av.VideoFrame.from_ndarray(np.zeros((16, 16, 4), np.uint8), format="rgba")
    assert (to_rgb(clear) == 255).all()


def test_untagged_films_with_transparency_are_taken_as_what_their_size_says() -> None:
    found = to_rgb(frame(1280, 720, UNTAGGED, (*RED_709, 255), "yuva444p"))[0, 0].tolist()
    assert found == pytest.approx((255, 0, 0), abs=3)
