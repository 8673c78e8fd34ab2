"""The colours of a film's frame, as 8-bit RGB.

Tags say how the numbers of a frame mean colours. Where they are missing, films in HD are taken as
BT.709 and smaller ones as BT.601, as players do. HDR goes through `tone_map`.
"""

import numpy as np
import PIL.Image
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from numpy.typing import NDArray

from anymal.media.tone_map import Transfer, to_sdr

_UNTAGGED = 2
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
        image: A picture of mode RGBA.

    Returns:
        [H, W, 3] uint8.
    """
    page = PIL.Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return np.array(page)


def _matrix(frame: VideoFrame) -> Colorspace | None:
    """The matrix that an untagged frame is taken to use; None leaves it to the frame."""
    if frame.colorspace != _UNTAGGED or frame.format.is_rgb:
        return None
    if frame.color_trc in _HDR:
        return Colorspace.BT2020
    is_hd = frame.width >= _HD_WIDTH or frame.height > _SD_HEIGHT
    return Colorspace.ITU709 if is_hd else None
