"""Image files to upright RGB pixels.

It neither resizes nor normalises: that is the encoder's own preprocessing.
"""

import io
import struct
import zlib

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import DecompressionBombError, DecompressionBombWarning, Transpose

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media.complete import check_complete
from anymal.media.formats import ACCEPTED_IMAGES, IMAGES, require
from anymal.media.limits import Limits
from anymal.media.source import Source, reason
from encoders.signals import Image

# Pillow's readers raise all of these on broken files, depending on which byte is wrong.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Warning,
)
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_DEEP_GREY_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_DEEP_GREY_MAX = 65535


def decode_image(source: Source, limits: Limits) -> Image:
    """Decodes an image: first frame, EXIF orientation applied, alpha laid over white.

    Sixteen-bit grey is scaled to eight; palettes and CMYK become RGB (ICC profiles are ignored).

    Args:
        source: The file.
        limits: How many pixels are accepted; checked on the header, before any pixel is read.

    Returns:
        The upright RGB image.

    Raises:
        MediaError: Not an image, broken, cut short, or too large.
    """
    key = require(source, IMAGES, ACCEPTED_IMAGES)
    try:
        with PIL.Image.open(io.BytesIO(source.data), formats=(key,)) as image:
            check_size(source.name, image.width, image.height, limits)
            check_complete(source, key)
            image.load()
            return Image(pixels=_rgb(_turned(image), source.name))
    except MediaError:
        raise
    except (DecompressionBombError, DecompressionBombWarning) as error:
        raise MediaTooLarge(source.name, reason(error), _most(limits)) from error
    except PIL.UnidentifiedImageError as error:
        found = f"a {key.upper()} image with a broken or truncated header"
        raise MediaCorrupt(source.name, found, "a complete file") from error
    except _BROKEN as error:
        raise MediaCorrupt(
            source.name,
            f"a broken or truncated {key.upper()} image ({reason(error)})",
            "a complete file",
        ) from error


def check_size(name: str, width: int, height: int, limits: Limits) -> None:
    """Refuses a picture or a frame that is too large or too thin.

    Args:
        name: The file's name, for the error.
        width: Pixels in a row.
        height: Rows.
        limits: How many pixels, and what aspect ratio, are accepted.

    Raises:
        MediaCorrupt: A side is zero.
        MediaTooLarge: Beyond the limits.
    """
    found = f"{width} x {height} pixels"
    if min(width, height) < 1:
        raise MediaCorrupt(name, found, "at least 1 x 1 pixels")
    too_thin = max(width, height) / min(width, height) > limits.max_aspect_ratio
    if width * height > limits.max_pixels or too_thin:
        raise MediaTooLarge(name, found, _most(limits))


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


def _most(limits: Limits) -> str:
    """The limits on a picture, in words."""
    return (
        f"at most {limits.max_pixels:,} pixels, "
        f"one side at most {limits.max_aspect_ratio:g} times the other"
    )


def _turned(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image as the camera was held."""
    # NOTE: Pillow turns TIFF by itself while loading and then forgets the tag, so ask after load.
    turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _rgb(image: PIL.Image.Image, name: str) -> NDArray[np.uint8]:
    """Any mode to RGB pixels."""
    if image.mode in _DEEP_GREY_MODES:
        return _deep_grey(image, name)
    if image.mode == "F":
        raise MediaUnsupported(name, "floating-point pixels", "8 or 16 bits per channel")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return over_white(image.convert("RGBA"))
    # A copy, because an array that borrows Pillow's memory is read-only.
    return np.array(image.convert("RGB"))


def _deep_grey(image: PIL.Image.Image, name: str) -> NDArray[np.uint8]:
    """Sixteen-bit grey, scaled to eight."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > _DEEP_GREY_MAX:
        raise MediaUnsupported(name, "pixels deeper than 16 bits", "8 or 16 bits per channel")
    # The upper byte, as Pillow itself takes it from 16-bit colour.
    return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
