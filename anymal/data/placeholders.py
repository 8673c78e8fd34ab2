"""Words with `<image>`, `<video>`, `<audio>` and `<imu>` to message parts in the REST shape.

Does not know where a format keeps its media or its words.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymal.data.media_folder import Part, is_list, media_part
from anymal.errors import DataError
from anymal.modality import MODALITIES

Media = Mapping[str, Sequence[Part]]
"""The media of a row by modality, in order."""

_PLACEHOLDER = re.compile(f"<({'|'.join(MODALITIES)})>(?:\\r?\\n)?")
# What parts of other tools are called, and what they carry.
_PART_TYPES = {
    **{name: name for name in MODALITIES},
    **{kind: name for name, row in MODALITIES.items() for kind in row.part_types},
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next medium of a modality stands."""

    modality: str


Piece = str | Place | Part
"""Words, a place for a medium, or a medium that stands there already."""


def with_media(
    messages: Sequence[Mapping[str, Any]], media: Media, *, none_is_first: bool = False
) -> list[dict[str, Any]]:
    """Put media where placeholders stand, in the order of the row, whichever turn that is.

    A line break behind a placeholder goes with it: a model writes its own there (`suffix`).

    Args:
        messages: With `role` and `content`, a string or a list of parts; other keys are kept. A
            part of text may hold placeholders, and a part of a medium that carries none is one.
        media: Of the row.
        none_is_first: Whether media of a kind without any placeholder stand at the beginning of
            the first message of the user; otherwise that is a mistake.

    Returns:
        Messages whose content is a string where it has no medium, and a list of parts elsewhere.

    Raises:
        DataError: There are more placeholders than media of a kind, or fewer; or a part is of no
            known type.
    """
    contents = [pieces_of(message.get("content")) for message in messages]
    places = Counter(
        piece.modality for content in contents for piece in content if isinstance(piece, Place)
    )
    first: list[Piece] = []
    for modality in MODALITIES:
        given = list(media.get(modality, ()))
        if none_is_first and not places[modality]:
            first += given
        elif len(given) != places[modality]:
            raise DataError(_counts(modality, places[modality], len(given)))
    if first:
        asked = [number for number, one in enumerate(messages) if one.get("role") == "user"]
        if not asked:
            raise DataError("there are media, and no message of the user to put them in; add one")
        contents[asked[0]] = [*first, *contents[asked[0]]]
    waiting = {modality: iter(media.get(modality, ())) for modality in places}
    return [
        {**message, "content": _content(content, waiting)}
        for message, content in zip(messages, contents, strict=True)
    ]


def pieces_of(content: Any) -> list[Piece]:
    """Take the content of a message apart.

    Args:
        content: A string with placeholders, or a list of parts as OpenAI, Anthropic, Qwen or TRL
            write them.

    Raises:
        DataError: It is something else.
    """
    if isinstance(content, str):
        return _cut(content)
    if not is_list(content):
        raise DataError(
            f"the content of a message is {type(content).__name__}; it should be text, or a list "
            "of parts"
        )
    return [piece for part in content for piece in _pieces_of_part(part)]


def _cut(text: str) -> list[Piece]:
    """Words cut at their placeholders."""
    pieces: list[Piece] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        pieces += [text[end : match.start()], Place(match[1])]
        end = match.end()
    return [*pieces, text[end:]]


def _pieces_of_part(part: Any) -> list[Piece]:
    """One part: words, a medium, or the place of one."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return _cut(str(part.get("text", part.get("value", ""))))
    if kind == "input_audio" and isinstance(part.get(kind), Mapping):
        return [dict(part)]
    modality = _PART_TYPES.get(str(kind))
    if modality is None:
        known = ", ".join(["text", *_PART_TYPES])
        raise DataError(f"a part of a message has the type {kind!r}; known: {known}")
    carried = [part[name] for name in (kind, "source", "url", "path", "value") if part.get(name)]
    return [media_part(modality, _body(carried[0])) if carried else Place(modality)]


def _body(value: Any) -> Any:
    """What a part carries; Anthropic's are base64 with a type."""
    if isinstance(value, Mapping) and value.get("type") == "base64":
        return f"data:{value.get('media_type', '')};base64,{value.get('data', '')}"
    return value


def _content(pieces: Sequence[Piece], waiting: Mapping[str, Iterator[Part]]) -> str | list[Part]:
    """The content of a message, each place taken by the medium that comes next."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(piece for piece in pieces if isinstance(piece, str))
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, Place):
            parts.append(next(waiting[piece.modality]))
        elif not isinstance(piece, str):
            parts.append(piece)
        elif piece.strip():
            parts.append({"type": "text", "text": piece})
    return parts


def _counts(modality: str, found: int, given: int) -> str:
    """What is wrong with the number of media, and what to do."""
    return (
        f"{found} placeholder{'s' * (found != 1)} <{modality}> for {given} "
        f"medi{'um' if given == 1 else 'a'} of that kind; write one placeholder where each "
        "medium stands"
    )
