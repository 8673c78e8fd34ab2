import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import PIL.Image
import pytest

from anymal.errors import MediaTooLarge, MediaUnsupported
from anymal.media.image import decode_image
from anymal.media.limits import Limits
from anymal.media.source import Source

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def decode(data: bytes, **limits: float) -> np.ndarray:
    return decode_image(Source(name="picture", data=data), Limits(**limits)).pixels  # type: ignore[arg-type]


def saved(image: PIL.Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep_colour(kind: str, pixels: np.ndarray) -> bytes:
    """A file of 16 bits for each of three colours, which Pillow does not write."""
    coder = av.CodecContext.create(kind, "w")
    coder.height, coder.width, coder.time_base = *pixels.shape[:2], Fraction(1)
    coder.pix_fmt = "rgb48be" if kind == "png" else "rgb48le"
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format=coder.pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*coder.encode(frame), *coder.encode()))


def close(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() < 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_gives_the_same_picture(kind: str, picture: Callable[..., bytes]) -> None:
    pixels = decode(picture(kind))
    assert pixels.shape == (40, 60, 3)
    assert pixels.flags.writeable
    assert close(pixels[5, 5], RED)
    assert close(pixels[5, 50], BLUE)
    assert close(pixels[35, 5], BLUE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        (1, (0, 0)),
        (2, (0, 1)),
        (3, (1, 1)),
        (4, (1, 0)),
        (5, (0, 0)),
        (6, (0, 1)),
        (7, (1, 1)),
        (8, (1, 0)),
    ],
)
def test_exif_orientation_is_applied(
    kind: str, orientation: int, corner: tuple[int, int], picture: Callable[..., bytes]
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(picture(kind, exif=exif))
    assert pixels.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    reds = [
        (row, column)
        for row in (0, 1)
        for column in (0, 1)
        if close(pixels[5 if row == 0 else -5, 5 if column == 0 else -5], RED)
    ]
    assert reds == [corner]


def test_alpha_is_laid_over_white() -> None:
    image = PIL.Image.new("RGBA", (3, 1))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 127))
    pixels = decode(saved(image))[0]
    assert tuple(pixels[0]) == RED
    assert tuple(pixels[1]) == WHITE
    assert np.abs(pixels[2].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_becomes_white(mode: str) -> None:
    image = PIL.Image.new(mode, (4, 4), 0)
    transparent: int | tuple[int, int, int] = (0, 0, 0) if mode == "RGB" else 0
    assert (decode(saved(image, transparency=transparent)) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(kind: str) -> None:
    deep = np.array([[0, 257 * 100, 65535]], np.uint16)
    pixels = decode(saved(PIL.Image.fromarray(deep), kind))
    assert pixels[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_grey_is_scaled_by_the_depth_that_it_uses(kind: str, depth: int) -> None:
    most = 2**depth - 1
    deep = np.array([[0, most // 2, most]], np.uint16)
    pixels = decode(saved(PIL.Image.fromarray(deep), kind))
    assert pixels[0].tolist() == [[0] * 3, [127] * 3, [255] * 3]


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_colour_is_scaled_by_the_depth_that_it_uses(kind: str, depth: int) -> None:
    most = 2**depth - 1
    deep = np.array([[[most, most // 2, 0]] * 16] * 16, np.uint16)
    pixels = decode(deep_colour(kind, deep))
    assert pixels[8, 8].tolist() == [255, 127, 0]


def test_avif_named_by_its_family_is_told_by_its_further_brands(
    picture: Callable[..., bytes],
) -> None:
    data = picture("AVIF")
    assert data[8:12] == b"avif"
    assert close(decode(data[:8] + b"mif1" + data[12:])[5, 5], RED)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_mode_becomes_rgb(mode: str, picture: Callable[..., bytes]) -> None:
    assert decode(picture("PNG", mode)).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str, picture: Callable[..., bytes]) -> None:
    pixels = decode(picture(kind, "CMYK"))
    assert close(pixels[5, 5], RED)
    assert close(pixels[5, 50], BLUE)


def test_the_first_frame_of_a_gif_is_taken() -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    pixels = decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert close(pixels[4, 4], RED)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(MediaUnsupported, match="floating-point"):
        decode(saved(PIL.Image.new("F", (4, 4)), "TIFF"))


def test_limits_hold_before_any_pixel_is_decoded(picture: Callable[..., bytes]) -> None:
    # The pixels are cut off: only a check of the header can tell the size.
    with pytest.raises(MediaTooLarge, match="60 x 40"):
        decode(picture("BMP")[:60], max_pixels=2399)
    with pytest.raises(MediaTooLarge, match="60 x 40"):
        decode(picture("BMP")[:60], max_aspect_ratio=1.2)
    assert decode(picture("BMP"), max_pixels=2400).shape == (40, 60, 3)


def test_deep_grey_in_which_zero_is_white() -> None:
    grey = np.array([[0, 65535], [60_000, 5000]], np.uint16)
    file = io.BytesIO()
    PIL.Image.fromarray(grey).save(file, "TIFF")
    # The entry of the photometric interpretation: 1 says that 0 is black.
    entry = struct.pack("<HHII", 262, 3, 1, 1)
    assert entry in file.getvalue()
    data = file.getvalue().replace(entry, entry[:8] + bytes(4))
    pixels = decode_image(Source(name="scan", data=data), Limits()).pixels
    assert pixels[..., 0].tolist() == [[255, 0], [21, 236]]
