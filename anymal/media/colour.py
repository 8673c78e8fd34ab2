"""The colours of a film's frame, as 8-bit RGB.

Tags say how the numbers of a frame mean colours. Where they are missing, films in HD are taken as
BT.709 and smaller ones as BT.601, as players do. HDR goes through `tone_map`.
"""

from collections.abc import Callable

import numpy as np
import PIL.Image
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from numpy.typing import NDArray

from anymal.media.tone_map import Transfer, to_sdr

_UNTAGGED = 2
# Pixels that are converted at a time, because each step makes a copy of four bytes a pixel.
_STRIP_PIXELS = 2**20
# What players take as HD: more than PAL's 576 lines, or the width of 720p.
_HD_WIDTH, _SD_HEIGHT = 1280, 576
_HDR: dict[int, Transfer] = {ColorTrc.SMPTE2084: "pq", ColorTrc.ARIB_STD_B67: "hlg"}


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Converts a decoded frame; transparency is laid over white.

    Args:
        frame: The frame, in any pixel format.

    Returns:
        [H, W, 3] uint8.
    """
    # One thread: several wait for each other where all cores are busy, 5 ms for a small frame.
    matrix = _matrix(frame)
    if any(component.is_alpha for component in frame.format.components):
        pixels = frame.to_ndarray(format="rgba", src_colorspace=matrix, threads=1)
        return over_white(PIL.Image.fromarray(pixels))
    transfer = _HDR.get(frame.color_trc)
    if transfer is None:
        pixels = frame.to_ndarray(format="rgb24", src_colorspace=matrix, threads=1)
        return np.asarray(pixels, dtype=np.uint8)
    signal = frame.to_ndarray(format="rgb48le", src_colorspace=matrix, threads=1)
    is_wide = frame.color_primaries != ColorPrimaries.BT709
    return to_sdr(np.asarray(signal, dtype=np.uint16), transfer, is_wide=is_wide)


def over_white(image: PIL.Image.Image) -> NDArray[np.uint8]:
    """Lays a picture with alpha over a white page.

    Args:
        image: A picture of a mode with alpha, or with one transparent colour.

    Returns:
        [H, W, 3] uint8.
    """
    return by_strips(image, _strip_over_white)


def by_strips(
    image: PIL.Image.Image, convert: Callable[[PIL.Image.Image], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Converts a picture some rows at a time, which takes no memory beside the result.

    Args:
        image: A picture of any mode.
        convert: Makes [h, W, 3] of a strip of h rows.

    Returns:
        [H, W, 3] uint8.
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    num_rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        bottom = min(top + num_rows, image.height)
        pixels[top:bottom] = convert(image.crop((0, top, image.width, bottom)))
    return pixels


def _strip_over_white(strip: PIL.Image.Image) -> NDArray[np.uint8]:
    """A few rows over a white page."""
    strip = strip.convert("RGBA")
    page = PIL.Image.new("RGB", strip.size, "white")
    page.paste(strip, mask=strip.getchannel("A"))
    return np.asarray(page)


def _matrix(frame: VideoFrame) -> Colorspace | None:
    """The matrix that an untagged frame is taken to use; None leaves it to the frame."""
    if frame.colorspace != _UNTAGGED or frame.format.is_rgb:
        return None
    if frame.color_trc in _HDR:
        return Colorspace.BT2020
    is_hd = frame.width >= _HD_WIDTH or frame.height > _SD_HEIGHT
    return Colorspace.ITU709 if is_hd else None
