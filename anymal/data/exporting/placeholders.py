"""Message parts as words with `<image>`, `<video>`, `<audio>` and `<imu>`, and the media in order.

The inverse of `anymal.data.placeholders`. Does not know where a format keeps its media.
"""

from collections.abc import Mapping
from typing import Any

from anymal.data.media_folder import Part, is_list
from anymal.data.placeholders import Place, pieces_of
from anymal.errors import DataError
from anymal.modality import MODALITIES

MediaValues = dict[str, list[Any]]
"""By modality: paths; frames of a video as a list of paths; or objects with options."""

_MODALITY_OF = {kind: name for name, row in MODALITIES.items() for kind in row.part_types}


def with_placeholders(content: Any, media: MediaValues) -> str:
    """Write the content of a message as words.

    Args:
        content: A string, or a list of parts.
        media: Is given the media of the content.

    Returns:
        Words with a placeholder for each medium; a line break is behind one where words follow.

    Raises:
        DataError: The words have something that would be read as a placeholder, or a part is of a
            kind that has none.
    """
    if not is_list(content):
        return _checked(content)
    text, is_behind_medium = "", False
    for part in content:
        if part["type"] == "text":
            text += ("\n" if is_behind_medium else "") + _checked(part["text"])
            is_behind_medium = False
        else:
            modality, value = medium_of(part)
            media.setdefault(modality, []).append(value)
            text, is_behind_medium = f"{text}<{modality}>", True
    return text


def medium_of(part: Part) -> tuple[str, Any]:
    """The modality of a part, and what it holds: a path alone, or an object with options.

    Raises:
        DataError: It is of no modality of the table.
    """
    kind = part["type"]
    if kind not in _MODALITY_OF:
        raise DataError(f"this format has no place for a part of the type {kind!r}")
    body: Mapping[str, Any] = part[kind]
    return _MODALITY_OF[kind], body["url"] if body.keys() == {"url"} else {**body}


def _checked(text: str) -> str:
    """Words, if none of them would be read as a placeholder."""
    found = [piece for piece in pieces_of(text) if isinstance(piece, Place)]
    if found:
        raise DataError(
            f"'<{found[0].modality}>' stands among the words, where this format has a medium; "
            "write it otherwise"
        )
    return text
