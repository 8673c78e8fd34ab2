"""A medium as tasks of lmms-eval hold it, to the parts of a message.

Does not decode: files are sent whole.
"""

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from anymal.client.array_files import is_a
from anymal.client.attachments import attach
from anymal.errors import MediaUnsupported
from anymal.protocol.conversation import MediaPart, VideoPart
from anymal.protocol.input_imu import ImuFormat

_KINDS = ("image", "video", "audio", "imu")
_MOTION = tuple(f".{name}" for name in get_args(ImuFormat))
_ACCEPTED = (
    'a PIL image, a path, {"array": ..., "sampling_rate": ...}, or {"type": "image", "video", '
    '"audio" or "imu", "path": ... or "bytes": ...}'
)
# Of a video, as lmms-eval names the ends of a stretch; and of motion, as `attach` names what is
# said about it.
_STRETCH = {"video_start": "start_s", "video_end": "end_s"}
_ABOUT = {
    "rate_hz": "imu_rate_hz",
    "imu_rate_hz": "imu_rate_hz",
    "acceleration_unit": "acceleration_unit",
    "rotation_unit": "rotation_unit",
}


def parts_of(medium: Any) -> list[MediaPart]:
    """Turn a medium of a document into parts.

    Args:
        medium: A PIL image; a path, whose ending tells the kind; a sound as a data set decodes it;
            or a mapping with `type` and `path` (or `url`, or the file's `bytes`). For motion it may
            also hold `rate_hz` (or `imu_rate_hz`), `acceleration_unit` and `rotation_unit`, and for
            a video `video_start` and `video_end` in seconds.

    Returns:
        One part.

    Raises:
        MediaUnsupported: It is something else.
        MediaNotFound: There is no such file.
    """
    if isinstance(medium, Mapping):
        return _described(medium)
    if isinstance(medium, str | Path):
        return _attached(_kind_of(str(medium)), medium, {})
    if is_a(medium, "PIL.Image", "Image"):
        return attach(inline=True, image=medium)
    raise MediaUnsupported("a medium", type(medium).__name__, _ACCEPTED)


def _described(medium: Mapping[str, Any]) -> list[MediaPart]:
    if medium.get("array") is not None and "sampling_rate" in medium:
        return attach(inline=True, audio=(medium["array"], medium["sampling_rate"]))
    data, where = medium.get("bytes"), medium.get("path") or medium.get("url")
    if data is None and where is None:
        raise MediaUnsupported("a medium", f"a mapping of {', '.join(medium)}", _ACCEPTED)
    kind = str(medium.get("type") or _kind_of(str(where)))
    about = {own: medium[name] for name, own in _ABOUT.items() if medium.get(name) is not None}
    parts = _attached(kind, where if data is None else data, about)
    stretch = {_STRETCH[name]: medium[name] for name in _STRETCH if medium.get(name) is not None}
    return [
        part.model_copy(update={"video_url": part.video_url.model_copy(update=stretch)})
        if isinstance(part, VideoPart) and stretch
        else part
        for part in parts
    ]


def _attached(kind: str, medium: Any, about: Mapping[str, Any]) -> list[MediaPart]:
    if kind not in _KINDS:
        raise MediaUnsupported("a medium", f"type {kind!r}", " or ".join(_KINDS))
    media: Any = {kind: medium, **about}
    return attach(inline=True, **media)


def _kind_of(path: str) -> str:
    """The kind of a file, by its ending."""
    if path.lower().endswith(_MOTION):
        return "imu"
    kind = (mimetypes.guess_type(path)[0] or "").partition("/")[0]
    if kind not in _KINDS:
        raise MediaUnsupported(path, "an ending that tells no kind", _ACCEPTED)
    return kind
