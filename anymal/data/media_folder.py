"""A medium as a row has it to a part of a message: a path, a URL, bytes, or a struct of them.

Does not open files; the processor does, and takes no path that leaves its folder.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from anymal.errors import DataError
from anymal.modality import MODALITIES
from anymal.protocol.conversation import data_url

Part = dict[str, Any]


def media_part(modality: str, value: Any) -> Part:
    """Write a medium as a part in the REST shape.

    Args:
        modality: `image`, `video`, `audio` or `imu`.
        value: A path, relative to the media folder or absolute below it; a data URL; bytes; a
            mapping with `url` and options of the part; or a mapping with `bytes` and `path`, of
            which bytes count where there are any.

    Returns:
        The part.

    Raises:
        DataError: It is none of these.
    """
    if isinstance(value, Mapping) and "url" not in value:
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray | memoryview):
        value = data_url(bytes(value))
    if isinstance(value, str) and value:
        value = {"url": value}
    if not isinstance(value, Mapping):
        raise DataError(
            f"a medium of kind {modality} is {_shown(value)}; it should be a path, a data URL or "
            "bytes"
        )
    # Of the part types of a modality, the last takes a URL.
    part_type = MODALITIES[modality].part_types[-1]
    return {"type": part_type, part_type: dict(value)}


def media_parts(modality: str, values: Any) -> list[Part]:
    """Write the media of one column as parts.

    Args:
        modality: Of all of them.
        values: One medium, or a list of them; None is no medium.

    Raises:
        DataError: One of them cannot be read.
    """
    if values is None or values == "":
        return []
    if not isinstance(values, Sequence) or isinstance(values, str | bytes | bytearray):
        values = [values]
    return [media_part(modality, value) for value in values]


def _shown(value: Any) -> str:
    """A value in an error, in a few words."""
    return "missing" if value is None or value == "" else f"{type(value).__name__} {value!r:.80}"
