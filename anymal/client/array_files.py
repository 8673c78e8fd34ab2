"""Arrays in memory as the bytes of files that hold them without loss.

PNG, AVI, WAV and NPY, written without the packages that usually do. Arrays are numpy's; tensors of
torch are converted. Numpy is used if it is imported already, and never imported here.

Shapes: H, W height and width, T frames or samples in time, C channels.
"""

import io
import struct
import sys
import zlib
from fractions import Fraction
from typing import Any

from anymal.errors import MediaUnsupported

_PICTURE = "uint8 numbers [H, W, 3], [H, W, 4] or [H, W], the channels last"
_FILM = "uint8 numbers [T, H, W, 3], the channels last"
_SOUND = "floats in [-1, 1], int16, int32 or uint8; [T] or [T, C] with up to 16 channels"
_MOTION = "numbers [T, 6] or [T, 3], or named fields"
_MOST_CHANNELS = 16  # more of them are samples, in an array that is turned
_WAV_TYPES = {"uint8": "|u1", "int16": "<i2", "int32": "<i4"}
_WAV_INTEGERS, _WAV_FLOATS = 1, 3
_PNG_COLOURS = {3: 2, 4: 6}
_AVI_HAS_INDEX, _AVI_KEYFRAME = 0x10, 0x10


def is_a(value: Any, package: str, *path: str) -> bool:
    """Whether a value is of another package's class, without importing that package."""
    found: Any = sys.modules.get(package)
    for name in path:
        found = getattr(found, name, None)
    return found is not None and isinstance(value, found)


def as_array(value: Any) -> Any | None:
    """A numpy array, or a torch tensor as one; None for anything else."""
    if is_a(value, "numpy", "ndarray"):
        return value
    if not all(callable(getattr(value, name, None)) for name in ("detach", "cpu", "numpy")):
        return None
    plain = value.detach().cpu()
    # Numpy has no bfloat16.
    return (plain.float() if str(plain.dtype) == "torch.bfloat16" else plain).numpy()


def png(pixels: Any) -> bytes:
    """Write an image.

    Args:
        pixels: `[H, W, 3]`, `[H, W, 4]` or `[H, W]` uint8.

    Returns:
        A PNG file.

    Raises:
        MediaUnsupported: For anything else.
    """
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _PNG_COLOURS)
    _require(is_picture and str(pixels.dtype) == "uint8", "image", pixels, _PICTURE)
    height, width = pixels.shape[:2]
    colours = 0 if pixels.ndim == 2 else _PNG_COLOURS[pixels.shape[2]]
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(rows))
        + _png_chunk(b"IEND", b"")
    )


def avi(frames: Any, rate_hz: float) -> bytes:
    """Write a film whose frames are PNG images.

    Args:
        frames: `[T, H, W, 3]` uint8.
        rate_hz: Frames per second.

    Returns:
        An AVI file.

    Raises:
        MediaUnsupported: For anything else.
    """
    is_film = frames.ndim == 4 and frames.shape[3] == 3 and str(frames.dtype) == "uint8"
    _require(is_film, "video", frames, _FILM)
    images = [png(frame) for frame in frames]
    headers = _avi_headers(images, height=frames.shape[1], width=frames.shape[2], rate_hz=rate_hz)
    entries, place = [], 4
    for image in images:
        entries.append(struct.pack("<4sIII", b"00dc", _AVI_KEYFRAME, place, len(image)))
        place += 8 + len(image) + len(image) % 2
    movie = _riff_list(b"movi", b"".join(_riff_chunk(b"00dc", image) for image in images))
    return _riff_list(b"AVI ", headers + movie + _riff_chunk(b"idx1", b"".join(entries)), b"RIFF")


def wav(samples: Any, rate_hz: float) -> bytes:
    """Write a sound.

    Args:
        samples: `[T]` or `[T, C]`: float in [-1, 1], int16, int32 or uint8 (128 is silence).
        rate_hz: Samples per second.

    Returns:
        A WAV file.

    Raises:
        MediaUnsupported: For anything else.
    """
    is_float = samples.dtype.kind == "f"
    is_sound = samples.ndim in (1, 2) and (is_float or str(samples.dtype) in _WAV_TYPES)
    num_channels = samples.shape[1] if samples.ndim == 2 else 1
    _require(is_sound and num_channels <= _MOST_CHANNELS, "audio", samples, _SOUND)
    plain = samples.astype("<f4" if is_float else _WAV_TYPES[str(samples.dtype)])
    width, rate = plain.dtype.itemsize, round(rate_hz)
    frame = width * num_channels
    code = _WAV_FLOATS if is_float else _WAV_INTEGERS
    layout = struct.pack("<HHIIHH", code, num_channels, rate, rate * frame, frame, width * 8)
    body = _riff_chunk(b"fmt ", layout) + _riff_chunk(b"data", plain.tobytes())
    return _riff_list(b"WAVE", body, b"RIFF")


def npy(samples: Any) -> bytes:
    """Write a motion recording.

    Args:
        samples: `[T, 3]` or `[T, 6]` numbers, or `[T]` with named fields.

    Returns:
        An NPY file.

    Raises:
        MediaUnsupported: For anything else.
    """
    is_table = samples.ndim == 2 and samples.shape[1] in (3, 6) and samples.dtype.kind in "fiu"
    _require(is_table or samples.dtype.names is not None, "imu", samples, _MOTION)
    buffer = io.BytesIO()
    sys.modules["numpy"].save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()


def _require(is_fit: bool, kind: str, array: Any, accepted: str) -> None:
    if not is_fit or array.size == 0:
        found = f"an array of {array.dtype} with shape {list(array.shape)}"
        raise MediaUnsupported(kind, found, accepted)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a RIFF file, filled up to an even number of bytes."""
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)


def _riff_list(kind: bytes, body: bytes, outer: bytes = b"LIST") -> bytes:
    return _riff_chunk(outer, kind + body)


def _avi_headers(images: list[bytes], *, height: int, width: int, rate_hz: float) -> bytes:
    """What an AVI file says before its frames."""
    rate = Fraction(rate_hz).limit_denominator(1001)
    num, largest = len(images), max(map(len, images))
    film = struct.pack(
        "<14I",
        *(round(1_000_000 / rate_hz), 0, 0, _AVI_HAS_INDEX, num, 0, 1, largest, width, height),
        *(0, 0, 0, 0),
    )
    stream = struct.pack(
        "<4s4sIHHIIIIIIiI4h",
        *(b"vids", b"MPNG", 0, 0, 0, 0, rate.denominator, rate.numerator),
        *(0, num, largest, -1, 0, 0, 0, width, height),
    )
    size = width * height * 3
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MPNG", size, 0, 0, 0, 0)
    about = _riff_chunk(b"strh", stream) + _riff_chunk(b"strf", picture)
    return _riff_list(b"hdrl", _riff_chunk(b"avih", film) + _riff_list(b"strl", about))
