"""Image files to upright RGB pixels.

It neither resizes nor normalises: that is the encoder's own preprocessing.
"""

import io
import logging
import struct
import zlib
from collections.abc import Callable

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import DecompressionBombError

from anymal.errors import MediaCorrupt, MediaError, MediaTooLarge, MediaUnsupported
from anymal.media import jpeg
from anymal.media.colour import by_strips, over_white
from anymal.media.complete import check_complete
from anymal.media.deep import is_deep_colour, scaled_colour, scaled_grey
from anymal.media.formats import ACCEPTED_IMAGES, IMAGES, require
from anymal.media.heif import decode_heif
from anymal.media.image_size import check_size, most_pixels
from anymal.media.limits import Limits
from anymal.media.pillow_warnings import as_log_lines
from anymal.media.png import with_needed_chunks
from anymal.media.source import Source, reason
from anymal.media.webp import check_room
from encoders.signals import Image

logger = logging.getLogger(__name__)

# The readers raise all of these on broken files, depending on which byte is wrong.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
)
_EXIF_ORIENTATION = 0x0112
_TIFF_PHOTOMETRIC = 262
_UPRIGHT: dict[object, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels),
}
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_DEEP_GREY_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def decode_image(source: Source, limits: Limits) -> Image:
    """Decodes an image: first frame, EXIF orientation applied, alpha laid over white.

    Deep grey is scaled to eight bits by the depth that it uses; palettes and CMYK become RGB (ICC
    profiles are ignored). What the picture does not need, such as texts, is not read.

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
        with as_log_lines:
            return Image(pixels=_read(source, key, limits))
    except MediaError:
        raise
    except DecompressionBombError as error:
        raise MediaTooLarge(source.name, reason(error), most_pixels(limits)) from error
    except PIL.UnidentifiedImageError as error:
        found = f"a {key.upper()} image with a broken or truncated header"
        raise MediaCorrupt(source.name, found, "a complete file") from error
    except _BROKEN as error:
        raise MediaCorrupt(
            source.name,
            f"a broken or truncated {key.upper()} image ({reason(error)})",
            "a complete file",
        ) from error


def _read(source: Source, key: str, limits: Limits) -> NDArray[np.uint8]:
    """The upright pixels of a file of any accepted format."""
    if key == "heif":
        return _rgb(decode_heif(source, limits), source.name)
    if key == "png":
        whole = with_needed_chunks(source)
        return _by_pillow(Source(name=source.name, data=whole), key, limits)
    if key == "webp":
        check_room(source, limits)
    if key == "jpeg":
        jpeg.check_scans(source.name, source.data, limits)
        if not jpeg.has_end(source.data):
            return _endless_jpeg(source, limits)
    return _by_pillow(source, key, limits)


def _by_pillow(source: Source, key: str, limits: Limits) -> NDArray[np.uint8]:
    """The upright pixels of a file that Pillow reads."""
    check_complete(source, key)
    with PIL.Image.open(io.BytesIO(source.data), formats=(key,)) as image:
        check_size(source.name, image.width, image.height, limits)
        is_deep = is_deep_colour(image)
        image.load()
        whole = scaled_colour(image, source, key) if is_deep else image
        pixels, turn = _rgb(whole, source.name), _UPRIGHT.get(_orientation(image))
        if _is_negative(image):
            pixels = 255 - pixels
    # Pillow's own pixels are given back first.
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _is_negative(image: PIL.Image.Image) -> bool:
    """Whether 0 is white in deep grey of a TIFF, which Pillow turns round in 8 bits alone."""
    tags = getattr(image, "tag_v2", {})
    return image.mode in _DEEP_GREY_MODES and tags.get(_TIFF_PHOTOMETRIC) == 0


def _endless_jpeg(source: Source, limits: Limits) -> NDArray[np.uint8]:
    """A JPEG that lacks its end marker, if it lacks nothing else."""
    first, second = (
        _by_pillow(Source(name=source.name, data=data), "jpeg", limits)
        for data in jpeg.with_ends(source.data)
    )
    if not np.array_equal(first, second):
        found = f"a JPEG image that was cut short at {len(source.data):,} bytes"
        raise MediaCorrupt(source.name, found, "a whole file")
    logger.warning("a JPEG image lacks its end marker; all its pixels are there")
    return first


def _orientation(image: PIL.Image.Image) -> object:
    """How the camera was held."""
    # NOTE: Pillow turns TIFF by itself while loading and then forgets the tag, so ask after load.
    return image.getexif().get(_EXIF_ORIENTATION, 1)


def _rgb(image: PIL.Image.Image, name: str) -> NDArray[np.uint8]:
    """Any mode to RGB pixels."""
    if image.mode in _DEEP_GREY_MODES:
        return np.repeat(scaled_grey(image, name)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise MediaUnsupported(name, "floating-point pixels", "8 or 16 bits per channel")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return over_white(image)
    return by_strips(image, lambda strip: np.asarray(strip.convert("RGB")))
