"""A `file` part of OpenAI's schema, which names no modality, as the part of the medium it holds.

Does not look at the bytes: the decoder does, and refuses a file that is another thing.
"""

import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field
from pydantic_core import PydanticCustomError

from anymal.protocol.sizes import check_keys
from anymal.protocol.strict import StrictMedium, StrictPart

_PARTS = {"image": "image_url", "video": "video_url", "audio": "audio_url"}
_MOTION_SUFFIXES = {".csv", ".npy", ".npz", ".parquet", ".json", ".zip"}
_UNKNOWN_TYPE = "application/octet-stream"


class File(StrictMedium):
    """A file inside the request; the media type or the name says what it holds."""

    file_data: str = Field(min_length=1, description="data: URL, or base64 beside filename")
    filename: str | None = Field(None, description="such as clip.mp4")
    format: str | None = Field(None, description="its media type, such as video/mp4")


class FilePart(StrictPart):
    """An image, a film, a sound or a motion recording as a file."""

    type: Literal["file"] = "file"
    file: File


def medium_of_file(part: Any) -> Any:
    """The part of the medium that a `file` part holds; other parts as they came.

    Args:
        part: As it came; it need not be valid.

    Returns:
        The part.

    Raises:
        PydanticCustomError: If the file is not in the part, or what it holds is not said.
    """
    if not isinstance(part, Mapping) or part.get("type") != "file":
        return part
    file = part.get("file")
    if not isinstance(file, Mapping):
        raise refused_file(
            "file is an object with file_data, and filename if that is not a data URL"
        )
    check_keys(file, File.model_fields)
    given = {key: item for key, item in file.items() if item is not None}
    unknown = sorted(map(str, given.keys() - File.model_fields.keys() - {"file_id"}))
    if not all(isinstance(item, str) for item in given.values()) or unknown:
        raise refused_file(
            f"a file takes file_data, filename and format, all text; found {unknown}"
        )
    data, name = given.get("file_data", ""), given.get("filename", "")
    if not data:
        raise refused_file("no files are stored here; send the file itself as file_data")
    is_url = data[:5].lower() == "data:"
    declared = data[5:].partition(",")[0].partition(";")[0].strip().lower() if is_url else ""
    kind = kind_of_file(declared, given.get("format", ""), name)
    url = data if is_url else f"data:{_UNKNOWN_TYPE};name={quote(name)};base64,{data}"
    rest = {key: item for key, item in part.items() if key not in ("type", "file")}
    return {"type": kind, kind: {"url": url}, **rest}


def kind_of_file(declared: str = "", format: str = "", name: str = "") -> str:
    """The type of the part that carries a file.

    Args:
        declared: The media type in its data URL.
        format: The media type beside it.
        name: Its name; of motion recordings the suffix decides.

    Returns:
        Such as `image_url`.

    Raises:
        PydanticCustomError: If none of them says what it holds.
    """
    if PurePosixPath(name).suffix.lower() in _MOTION_SUFFIXES:
        return "input_imu"
    for media_type in (declared, format.strip().lower(), mimetypes.guess_type(name)[0] or ""):
        if kind := _PARTS.get(media_type.partition("/")[0]):
            return kind
        if media_type == "text/csv":
            return "input_imu"
    found = declared or format or name or "a file without media type and name"
    raise refused_file(
        f"found {found[:80]!r}; send an image, a film, a sound or a motion recording, with its "
        "media type in the data URL or its suffix in filename"
    )


def refused_file(message: str) -> PydanticCustomError:
    """The error of a file that is not taken."""
    return PydanticCustomError("unsupported_file", "{reason}", {"reason": message})
