"""What a caller has at hand (paths, bytes, images, arrays, tables) to parts of a message.

Does not decode media: files travel as they are, arrays are written as files. Numpy, PIL and pandas
are recognised without being imported.
"""

import base64
import io
import mimetypes
import struct
import sys
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

from anymal.conversation import (
    AccelerationUnit,
    AudioUrlPart,
    ImagePart,
    ImageUrl,
    ImuPart,
    InputImu,
    MediaPart,
    MediaUrl,
    RotationUnit,
    VideoPart,
    validated,
)
from anymal.errors import MediaNotFound, MediaUnsupported

_FILES = "a path, bytes, an open binary file, a data URL"


class Media(TypedDict, total=False):
    """Media beside a question; each is one or a list of several."""

    image: Any
    """Path, bytes, file, data URL, PIL image, or uint8 array [H, W, 3] or [H, W]."""
    video: Any
    """Path, bytes, file or data URL."""
    audio: Any
    """Path, bytes, file, data URL, (samples, rate in Hz), or an array with `audio_rate_hz`."""
    imu: Any
    """Path, bytes, file, data URL, DataFrame, or array [N, 6] or [N, 3] with `imu_rate_hz`."""
    audio_rate_hz: int | None
    """Samples per second of arrays given as `audio`."""
    imu_rate_hz: float | None
    """Samples per second of `imu`, where it holds no times."""
    acceleration_unit: AccelerationUnit
    """Unit of the accelerations in `imu`."""
    rotation_unit: RotationUnit
    """Unit of the rotations in `imu`."""


def attach(*, inline: bool, **media: Unpack[Media]) -> list[MediaPart]:
    """Turn media into parts, in the order image, video, audio, imu.

    Args:
        inline: Put the bytes of files into the part, for a server. Otherwise a part names the
            absolute path, and errors can name the file.
        **media: See `Media`.

    Returns:
        One part per medium.

    Raises:
        MediaNotFound: If a file cannot be read.
        MediaUnsupported: If a value is of a kind that is not accepted.
        ConversationError: If the rate or a unit is not accepted.
    """
    motion: dict[str, Any] = {
        key: media[name]  # type: ignore[literal-required]  # the keys are those of Media
        for name, key in _MOTION_KEYS.items()
        if media.get(name) is not None
    }
    audio_rate_hz = media.get("audio_rate_hz")
    return [
        *(
            ImagePart(image_url=ImageUrl(url=_url("image", item, _image_file, inline)))
            for item in _several(media.get("image"))
        ),
        *(
            VideoPart(video_url=MediaUrl(url=_url("video", item, _no_file, inline)))
            for item in _several(media.get("video"))
        ),
        *(
            AudioUrlPart(audio_url=MediaUrl(url=_url("audio", item, _sound_file, inline)))
            for item in _with_rate(media.get("audio"), audio_rate_hz)
        ),
        *(
            ImuPart(
                input_imu=validated(
                    InputImu, {"url": _url("imu", item, _motion_file, inline), **motion}
                )
            )
            for item in _several(media.get("imu"))
        ),
    ]


_MOTION_KEYS = {
    "imu_rate_hz": "rate_hz",
    "acceleration_unit": "acceleration_unit",
    "rotation_unit": "rotation_unit",
}


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _with_rate(value: Any, rate_hz: int | None) -> list[Any]:
    """Sounds, arrays among them paired with their rate."""
    return [
        (item, rate_hz) if rate_hz is not None and _is_a(item, "numpy", "ndarray") else item
        for item in _several(value)
    ]


def _url(kind: str, value: Any, write: Callable[[Any], bytes | None], inline: bool) -> str:
    """The URL of one medium: its path, or its bytes."""
    if isinstance(value, str) and value.startswith(("data:", "http://", "https://")):
        return value
    if isinstance(value, str | PathLike):
        return _path_url(kind, Path(value), inline)
    if isinstance(value, bytes | bytearray | memoryview):
        return _data_url(bytes(value))
    if callable(getattr(value, "read", None)):
        return _data_url(_bytes_of(kind, value))
    data = write(value)
    if data is None:
        raise MediaUnsupported(kind, f"a {type(value).__name__}", f"{_FILES}{_ALSO[kind]}")
    return _data_url(data)


_ALSO = {
    "image": ", a PIL image, an array [H, W, 3]",
    "video": "",
    "audio": ", (samples, rate_hz), an array with audio_rate_hz",
    "imu": ", a DataFrame, an array [N, 6] with imu_rate_hz",
}


def _path_url(kind: str, path: Path, inline: bool) -> str:
    path = path.expanduser()
    if not inline:
        return str(path.absolute())
    if not path.is_file():
        raise MediaNotFound(str(path), "no such file", f"an existing {kind} file")
    try:
        return _data_url(path.read_bytes(), mimetypes.guess_type(path.name)[0])
    except OSError as error:
        raise MediaNotFound(str(path), f"a file that cannot be read ({error})", "a file") from error


def _bytes_of(kind: str, file: Any) -> bytes:
    data = file.read()
    if not isinstance(data, bytes):
        raise MediaUnsupported(kind, "a file opened as text", 'a file opened with mode "rb"')
    return data


def _data_url(data: bytes, mime: str | None = None) -> str:
    text = base64.b64encode(data).decode("ascii")
    return f"data:{mime or 'application/octet-stream'};base64,{text}"


def _is_a(value: Any, package: str, *path: str) -> bool:
    """Whether a value is of another package's class, without importing that package."""
    found: Any = sys.modules.get(package)
    for name in path:
        found = getattr(found, name, None)
    return found is not None and isinstance(value, found)


def _no_file(value: Any) -> None:
    """A video is only ever a file: nothing at hand could write one without loss."""


def _image_file(value: Any) -> bytes | None:
    """A PIL image or a uint8 array as PNG."""
    if _is_a(value, "PIL.Image", "Image"):
        buffer = io.BytesIO()
        # PNG holds neither CMYK nor YCbCr.
        writable = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else None
        (writable or value.convert("RGB")).save(buffer, format="PNG")
        return buffer.getvalue()
    if not _is_a(value, "numpy", "ndarray"):
        return None
    is_picture = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))
    if str(value.dtype) != "uint8" or not is_picture or value.size == 0:
        raise MediaUnsupported(
            "image", _described(value), "a uint8 array [H, W, 3], [H, W, 4] or [H, W]"
        )
    return _png(value)


def _png(pixels: Any) -> bytes:
    """A PNG file of a uint8 array; PIL is not needed for so little."""
    height, width = pixels.shape[:2]
    color_type = {2: 0, 3: {3: 2, 4: 6}.get(pixels.shape[-1])}[pixels.ndim]
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _sound_file(value: Any) -> bytes | None:
    """Samples and their rate as WAV."""
    if _is_a(value, "numpy", "ndarray"):
        raise MediaUnsupported(
            "audio", "an array without a rate", "audio_rate_hz beside it, or (samples, rate_hz)"
        )
    if not (isinstance(value, tuple) and len(value) == 2 and _is_a(value[0], "numpy", "ndarray")):
        return None
    samples, rate_hz = value
    kind = samples.dtype.kind
    is_known = kind == "f" or str(samples.dtype) == "int16"
    if not is_known or samples.ndim not in (1, 2) or samples.size == 0:
        raise MediaUnsupported(
            "audio", _described(samples), "float samples in [-1, 1] or int16, [N] or [N, channels]"
        )
    return _wav(samples.astype("<f4" if kind == "f" else "<i2"), int(rate_hz))


def _wav(samples: Any, rate_hz: int) -> bytes:
    """A WAV file; the standard library writes no float samples."""
    num_channels = 1 if samples.ndim == 1 else samples.shape[1]
    width = samples.dtype.itemsize
    frame = width * num_channels
    code = 3 if samples.dtype.kind == "f" else 1
    layout = struct.pack("<HHIIHH", code, num_channels, rate_hz, rate_hz * frame, frame, width * 8)
    data: bytes = samples.tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _motion_file(value: Any) -> bytes | None:
    """A table as CSV, an array as NPY."""
    if _is_a(value, "pandas", "DataFrame"):
        text: str = value.to_csv(index=False)
        return text.encode()
    if not _is_a(value, "numpy", "ndarray"):
        return None
    if value.dtype.kind not in "fiu":
        raise MediaUnsupported("imu", _described(value), "an array of numbers, [N, 6] or [N, 3]")
    buffer = io.BytesIO()
    sys.modules["numpy"].save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def _described(array: Any) -> str:
    return f"an array of {array.dtype} with shape {list(array.shape)}"
