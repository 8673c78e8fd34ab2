"""A medium as a row has it, a path, a URL, bytes, a struct of them or frames, to a message part.

Only frames are read here, to join them to a film; other files are opened by the processor. Neither
takes a path that leaves the media folder.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anymal.errors import DataError
from anymal.media.frames import film_of
from anymal.media.limits import Limits
from anymal.media.source import read_source
from anymal.modality import MODALITIES
from anymal.protocol.conversation import data_url

Part = dict[str, Any]

_PLACES = ("url", "bytes", "path")
# Halves of characters, as Python reads the names of files that are not UTF-8.
_HALF = re.compile("[\ud800-\udfff]")


def media_part(modality: str, value: Any) -> Part:
    """Write a medium as a part in the REST shape.

    Args:
        modality: `image`, `video`, `audio` or `imu`.
        value: A path, relative to the media folder or absolute below it; a data URL; bytes; or a
            mapping with options of the part beside `url`, or `bytes` and `path`, of which bytes
            count where there are any; or beside `samples`, rows of numbers. For a video also a list
            of pictures, its frames: `with_films` completes such a part.

    Returns:
        The part.

    Raises:
        DataError: It is none of these.
    """
    options: dict[str, Any] = {}
    if isinstance(value, Mapping):
        options = {key: one for key, one in value.items() if key not in _PLACES and one is not None}
        value = next((value[key] for key in _PLACES if value.get(key)), None)
    if modality == "video" and isinstance(value, list | tuple) and value:
        options["url"] = [_url("image", frame) for frame in value]
    elif value is not None or "samples" not in options:
        options["url"] = _url(modality, value)
    # Of the part types of a modality, the last takes a URL.
    part_type = MODALITIES[modality].part_types[-1]
    return {"type": part_type, part_type: options}


def media_parts(modality: str, values: Any) -> list[Part]:
    """Write the media of one column as parts.

    Args:
        modality: Of all of them.
        values: One medium, or a list of them; None is no medium.

    Raises:
        DataError: One of them is no medium.
    """
    if values is None or values == "":
        return []
    return [media_part(modality, value) for value in (values if is_list(values) else [values])]


def with_films(messages: Any, base_dir: Path) -> Any:
    """Join the frames of each video that is a list of pictures to a film, a second for each.

    Args:
        messages: In the REST shape; what is of another shape is left to what checks it.
        base_dir: The folder that paths are relative to and may not leave.

    Returns:
        The messages; the same where no video is a list.

    Raises:
        MediaError: A frame cannot be read.
        DataError: The frames differ in size.
    """
    if not is_list(messages) or not any(_frames(part) for one in messages for part in _parts(one)):
        return messages
    return [
        {**one, "content": [_filmed(part, base_dir) for part in parts]}
        if (parts := _parts(one))
        else one
        for one in messages
    ]


def is_list(value: Any) -> bool:
    """Whether a value is a list, and neither text nor bytes."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _url(modality: str, value: Any) -> str:
    """A medium as a path or a data URL."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray | memoryview):
        return data_url(bytes(value))
    if not isinstance(value, str) or not value:
        found = "missing" if not value else f"{type(value).__name__} {value!r:.80}"
        raise DataError(
            f"a medium of kind {modality} is {found}; it should be a path, a data URL or bytes"
        )
    if not value.isascii() and _HALF.search(value):
        raise DataError(f"the name of a file is {value!r:.200}, which is no UTF-8; rename the file")
    return value


def _parts(message: Any) -> Sequence[Any]:
    """The parts of a message; none where it has none."""
    content: Any = message.get("content") if isinstance(message, Mapping) else None
    return content if is_list(content) else ()


def _frames(part: Any) -> list[str] | None:
    """The frames of a video that is a list of pictures."""
    body = part.get("video_url") if isinstance(part, Mapping) else None
    url = body.get("url") if isinstance(body, Mapping) else None
    return url if isinstance(url, list) else None


def _filmed(part: Any, base_dir: Path) -> Any:
    """A part, its frames joined."""
    if (frames := _frames(part)) is None:
        return part
    limits = Limits()
    pictures = [read_source(frame, limits=limits, base_dir=base_dir) for frame in frames]
    film = data_url(film_of(pictures, limits), "video/x-matroska")
    return {**part, "video_url": {**part["video_url"], "url": film}}
