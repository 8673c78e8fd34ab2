"""Paths, bytes, images, arrays and tables to parts of a message.

Does not decode media: files are sent unchanged, arrays are written as files. Numpy, torch, PIL and
pandas are recognised without being imported.
"""

import io
import mimetypes
import zipfile
from collections.abc import Callable, Mapping
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

from anymal.client.array_files import as_array, avi, is_a, npy, png, wav
from anymal.client.grouped import grouped
from anymal.errors import MediaEmpty, MediaNotFound, MediaUnsupported
from anymal.protocol.conversation import (
    AudioUrlPart,
    ImagePart,
    ImuPart,
    MediaPart,
    VideoPart,
    data_url,
    validated,
)
from anymal.protocol.input_imu import AccelerationUnit, InputImu, RotationUnit
from anymal.protocol.media_url import ImageUrl, MediaUrl, VideoUrl

_MOST_OF_16_BITS = 2**16 - 1
# A file states its rate: whole samples a second in a WAV, 32-bit microseconds a frame in an AVI.
_LOWEST_HZ = {"audio": 1.0, "video": 0.001}
_TOO_FAST_HZ = 1_000_000
_URLS = ("data:", "http://", "https://")
_FILES = "a path, bytes, an open binary file, a data URL"


class Media(TypedDict, total=False):
    """Media beside a question; each is one or a list of several. A tensor of torch is an array."""

    image: Any
    """Path, bytes, file, data URL, PIL image, or uint8 array [H, W, 3], [H, W, 4] or [H, W]."""
    video: Any
    """Path, bytes, file, data URL, or uint8 array [T, H, W, 3] with `video_rate_hz`."""
    audio: Any
    """Path, bytes, file, data URL, or array [T] or [T, C] with `audio_rate_hz`."""
    imu: Any
    """Path, bytes, file, data URL, DataFrame, or array [T, 6] or [T, 3] with `imu_rate_hz`; a
    DataFrame whose columns are numbered is such an array. "acc.csv,gyro.csv" are two files of one
    recording."""
    video_rate_hz: float | None
    """Frames per second of arrays given as `video`; or give (array, rate) in their place."""
    audio_rate_hz: float | None
    """Samples per second of arrays given as `audio`; or give (array, rate) in their place."""
    imu_rate_hz: float | None
    """Samples per second of `imu`, if it holds no times; or give (recording, rate)."""
    acceleration_unit: AccelerationUnit | None
    """Unit of the accelerations in `imu`, if the file does not state it; m/s2 by default."""
    rotation_unit: RotationUnit | None
    """Unit of the rotations in `imu`, if the file does not state it; rad/s by default."""
    group: bool
    """Whether `video`, `audio` and `imu` were recorded together; the model needs a clock."""
    start_s: Mapping[str, float]
    """When the media of a group begin, by kind, such as {"imu": 0.4}; 0 by default."""


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
        MediaEmpty: If there are no bytes.
        MediaUnsupported: If a value is of a kind that is not accepted.
        ConversationError: If the rate, a unit or a beginning is not accepted.
    """
    units = {
        name: media[name]
        for name in ("acceleration_unit", "rotation_unit")
        if media.get(name) is not None
    }
    video_rate_hz, audio_rate_hz = media.get("video_rate_hz"), media.get("audio_rate_hz")
    parts: list[MediaPart] = [
        *(
            ImagePart(image_url=ImageUrl(url=_url("image", item, None, _image_file, inline)))
            for item in _several(media.get("image"))
        ),
        *(
            VideoPart(video_url=VideoUrl(url=_url("video", item, rate_hz, _film_file, inline)))
            for item, rate_hz in _with_rate(media.get("video"), video_rate_hz)
        ),
        *(
            AudioUrlPart(audio_url=MediaUrl(url=_url("audio", item, rate_hz, _sound_file, inline)))
            for item, rate_hz in _with_rate(media.get("audio"), audio_rate_hz)
        ),
        *(
            ImuPart(input_imu=_motion(item, rate_hz, units, inline))
            for item, rate_hz in _with_rate(media.get("imu"), media.get("imu_rate_hz"))
        ),
    ]
    return grouped(parts, is_group=media.get("group", False), start_s=media.get("start_s") or {})


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _with_rate(value: Any, rate_hz: float | None) -> list[tuple[Any, float | None]]:
    """Media with their rates; a pair brings its own."""
    return [item if _is_pair(item) else (item, rate_hz) for item in _several(value)]


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Real)


def _motion(value: Any, rate_hz: float | None, units: dict[str, Any], inline: bool) -> InputImu:
    about = units if rate_hz is None else {**units, "rate_hz": rate_hz}
    paths = _pair_of_paths(value)
    if paths:
        url = _checked_url(str(value), _packed(paths))
    else:
        url = _url("imu", value, rate_hz, _motion_file, inline)
    return validated(InputImu, {"url": url, **about})


def _pair_of_paths(value: Any) -> list[Path]:
    """The paths of `acceleration,rotation`; none where the value is one path or no path."""
    if not isinstance(value, str) or value.startswith(_URLS) or "," not in value:
        return []
    paths = [Path(part.strip()).expanduser() for part in value.split(",")]
    return [] if Path(value).expanduser().is_file() else paths


def _packed(paths: list[Path]) -> bytes:
    """Files as a ZIP, which the service reads as one recording."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for place, path in enumerate(paths):
            # Folders keep names apart; a ZipInfo of its own holds no time of the day.
            member = zipfile.ZipInfo(f"{place}/{path.parent.name}/{path.name}")
            archive.writestr(member, _read("imu", path), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


Writer = Callable[[Any, float | None], bytes | None]


def _url(kind: str, value: Any, rate_hz: float | None, write: Writer, inline: bool) -> str:
    """The URL of one medium: its path, or its bytes."""
    if isinstance(value, str) and value.startswith(_URLS):
        return value
    if isinstance(value, str | PathLike):
        return _path_url(kind, Path(value), inline)
    if isinstance(value, bytes | bytearray | memoryview):
        return _checked_url(kind, bytes(value))
    if callable(getattr(value, "read", None)):
        return _checked_url(kind, _bytes_of(kind, value))
    data = write(value, rate_hz)
    if data is None:
        raise MediaUnsupported(kind, f"a {type(value).__name__}", f"{_FILES}, {_ALSO[kind]}")
    return _checked_url(kind, data)


_ALSO = {
    "image": "a PIL image, an array [H, W, 3]",
    "video": "an array [T, H, W, 3] with video_rate_hz",
    "audio": "an array [T] or [T, C] with audio_rate_hz",
    "imu": "a DataFrame, an array [T, 6] or [T, 3] with imu_rate_hz",
}


def _path_url(kind: str, path: Path, inline: bool) -> str:
    path = path.expanduser()
    if not inline:
        return str(path.absolute())
    return _checked_url(str(path), _read(kind, path), mimetypes.guess_type(path.name)[0])


def _read(kind: str, path: Path) -> bytes:
    """The bytes of a file."""
    if not path.is_file():
        raise MediaNotFound(str(path), "no such file", f"an existing {kind} file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaNotFound(str(path), f"a file that cannot be read ({error})", "a file") from error


def _bytes_of(kind: str, file: Any) -> bytes:
    data = file.read()
    if not isinstance(data, bytes):
        raise MediaUnsupported(kind, "a file opened as text", 'a file opened with mode "rb"')
    if not data:
        raise MediaEmpty(kind, "a file with nothing left to read", "one at its start: seek(0)")
    return data


def _checked_url(name: str, data: bytes, media_type: str | None = None) -> str:
    if not data:
        raise MediaEmpty(name, "no bytes", "a file that holds something")
    return data_url(data, media_type)


def _image_file(value: Any, _: float | None) -> bytes | None:
    """A PIL image or an array as PNG."""
    if is_a(value, "PIL.Image", "Image"):
        return _pil_file(value)
    array = as_array(value)
    return None if array is None else png(array)


def _pil_file(image: Any) -> bytes:
    """What PIL holds, upright as its file asks, with all the depth that PNG can take."""
    from PIL import ImageOps

    if image.mode == "F":
        raise MediaUnsupported("image", "floating-point pixels", "8 or 16 bits per channel")
    if image.mode == "I":
        image = _with_16_bits(image)
    writable = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    buffer = io.BytesIO()
    turned = ImageOps.exif_transpose(image if writable else image.convert("RGB"))
    turned.save(buffer, format="PNG")
    return buffer.getvalue()


def _with_16_bits(image: Any) -> Any:
    """Pixels of 32 bits as 16, which PNG can take."""
    lowest, highest = image.getextrema()
    if lowest < 0 or highest > _MOST_OF_16_BITS:
        raise MediaUnsupported(
            "image", f"pixels from {lowest} to {highest}", f"pixels from 0 to {_MOST_OF_16_BITS}"
        )
    return image.convert("I;16")


def _film_file(value: Any, rate_hz: float | None) -> bytes | None:
    """An array as AVI."""
    array = as_array(value)
    return None if array is None else avi(array, _rate("video", rate_hz))


def _sound_file(value: Any, rate_hz: float | None) -> bytes | None:
    """An array as WAV."""
    array = as_array(value)
    return None if array is None else wav(array, _rate("audio", rate_hz))


def _motion_file(value: Any, rate_hz: float | None) -> bytes | None:
    """A table as CSV; an array, and a table without names, as NPY."""
    if is_a(value, "pandas", "DataFrame"):
        # An index with a name is a column, such as the times.
        has_index = value.index.name is not None
        if has_index or not all(map(_reads_as_number, value.columns)):
            text: str = value.to_csv(index=has_index)
            return text.encode()
        value = value.to_numpy()
    array = as_array(value)
    if array is None:
        return None
    data = npy(array)
    if array.dtype.names is None:  # named fields may hold the times
        _rate("imu", rate_hz)
    return data


def _reads_as_number(label: object) -> bool:
    """Whether a column's label is a number: in a CSV, a header of such would be taken for a row."""
    try:
        float(str(label))
    except ValueError:
        return False
    return True


def _rate(kind: str, rate_hz: float | None) -> float:
    """The rate of an array, which says nothing of it by itself."""
    if rate_hz is None:
        raise MediaUnsupported(
            kind, "an array without a rate", f"{kind}_rate_hz beside it, or (array, rate_hz)"
        )
    rate, lowest = float(rate_hz), _LOWEST_HZ.get(kind, 0.0)
    if not (0 < rate < _TOO_FAST_HZ and lowest <= rate):
        accepted = f"{f'at least {lowest}' if lowest else 'above 0'}, below {_TOO_FAST_HZ:,}"
        raise MediaUnsupported(kind, f"a rate of {rate_hz} Hz", accepted)
    return rate
