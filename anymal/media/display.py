"""The shape and the position in which a film's frames are to be shown.

Colours are another file's: `colour`. Shapes: F frames, H rows, W columns.
"""

import struct
from fractions import Fraction

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Size = tuple[int, int]


def shown_size(size: Size, pixel_aspect: Fraction | None) -> Size:
    """The size with square pixels; one side grows, none shrinks.

    Args:
        size: Width and height as stored.
        pixel_aspect: Width of a pixel over its height; None where a file does not tell.

    Returns:
        Width and height as shown.
    """
    width, height = size
    if not pixel_aspect or pixel_aspect < 0:
        return size
    if pixel_aspect >= 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def fitted(pixels: NDArray[np.uint8], shown: Size, size: Size) -> NDArray[np.uint8]:
    """Scales a frame into a size, centred on black where its shape is another.

    Args:
        pixels: [H, W, 3].
        shown: Width and height that the frame is to be shown in.
        size: Width and height of the result.

    Returns:
        The frame in exactly that size.
    """
    scale = min(size[0] / shown[0], size[1] / shown[1])
    inner = (max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale)))
    height, width, _ = pixels.shape
    if (width, height) == inner == size:
        return pixels
    image = PIL.Image.fromarray(pixels)
    if inner != image.size:
        image = image.resize(inner)
    if inner == size:
        return np.asarray(image)
    page = PIL.Image.new("RGB", size)
    page.paste(image, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return np.asarray(page)


def upright(frames: NDArray[np.uint8], matrix: bytes | None) -> NDArray[np.uint8]:
    """Turns and mirrors frames, in quarter turns, as a display matrix asks.

    Args:
        frames: [F, H, W, 3].
        matrix: Nine numbers as FFmpeg passes them on; the first, second, fourth and fifth say where
            a step to the right and a step down lead. None changes nothing.

    Returns:
        The frames, with height and width exchanged by a quarter turn.
    """
    if matrix is None:
        return frames
    right_x, right_y, _, down_x, down_y, *_ = struct.unpack("=9i", matrix)
    is_turned = abs(right_y) + abs(down_x) > abs(right_x) + abs(down_y)
    if is_turned:
        frames = frames.transpose(0, 2, 1, 3)
    x, y = (down_x, right_y) if is_turned else (right_x, down_y)
    return np.ascontiguousarray(frames[:, :: -1 if y < 0 else 1, :: -1 if x < 0 else 1])
