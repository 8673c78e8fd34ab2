"""Turns as a chat template sees them, and what it wrote cut back into their contents.

Contents never pass through a template: numbered marks stand for text, and a medium that the
template writes itself stands where its marker is. So nothing that people wrote can change what a
template does or be mistaken for its markup. Does not know what belongs to an answer;
`anymal.chat.jinja` does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from anymal.chat.segments import MediaSegment, Segment, TextSegment, Turn, trimmed
from anymal.chat.shipped import next_step
from anymal.errors import ConversationError

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = f"{_OPEN}[^{_CLOSE}]*{_CLOSE}"
_TEXT, _MEDIA, _WORDS = "text", "media", "words"

# The text that a template writes for a medium, by modality. None: it takes contents as strings.
Markers = Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of contents that a template places as one.

    Attributes:
        turn: Index of its turn.
        kind: `text`, the modality that the template writes a marker for, or, of a whole turn,
            `media` or `words`.
        content: What it holds.
        sign: What stands for it in what the template writes.
    """

    turn: int
    kind: str
    content: tuple[Segment, ...]
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a template wrote.

    Attributes:
        pieces: Contents, in the order that it gave them.
        between: Its own text: before the first piece, between two, and after the last.
    """

    pieces: tuple[Piece, ...]
    between: tuple[str, ...]


def pieces_of(turns: Sequence[Turn], markers: Markers) -> list[Piece]:
    """Take turns apart.

    Args:
        turns: A conversation.
        markers: Of the template.

    Returns:
        At least one piece a turn, in order. Media without a marker are part of the text.
    """
    pieces: list[Piece] = []
    for index, turn in enumerate(turns):
        for kind, content in _parts(turn.content, markers):
            sign = f"{_OPEN}{len(pieces)}{_CLOSE}" if kind == _TEXT else (markers or {})[kind]
            pieces.append(Piece(turn=index, kind=kind, content=tuple(content), sign=sign))
    return pieces


def _parts(content: Sequence[Segment], markers: Markers) -> list[tuple[str, list[Segment]]]:
    """The parts of one message.

    A medium with a marker is a part of its own. So is each text that people wrote, with the markup
    around it.
    """
    parts: list[tuple[str, list[Segment]]] = []
    last: Segment | None = None
    for item in content:
        is_written = markers is not None and _kind(item) in markers
        is_new = markers is not None and _is_said(item) and last is not None and _is_said(last)
        if is_written or is_new or not parts or parts[-1][0] != _TEXT:
            parts.append((_kind(item) if is_written else _TEXT, []))
        parts[-1][1].extend(item.with_text() if isinstance(item, MediaSegment) else [item])
        last = item
    return parts or [(_TEXT, [])]


def _kind(item: Segment) -> str:
    return item.shown_as if isinstance(item, MediaSegment) else _TEXT


def _is_said(item: Segment) -> bool:
    return isinstance(item, TextSegment) and not item.is_markup


def shown(turns: Sequence[Turn], pieces: Sequence[Piece], markers: Markers) -> list[dict[str, Any]]:
    """Write turns as the messages that a template reads, with marks for their contents.

    Args:
        turns: A conversation.
        pieces: Of it.
        markers: Of the template.

    Returns:
        Messages, their contents strings if `markers` is None, and lists of parts if not.
    """
    parts: list[list[dict[str, str]]] = [[] for _ in turns]
    for piece in pieces:
        held = piece.sign if piece.kind == _TEXT else ""
        parts[piece.turn].append({"type": piece.kind, piece.kind: held})
    contents = parts if markers is not None else [own[0][_TEXT] for own in parts]
    pairs = zip(turns, contents, strict=True)
    return [{"role": turn.role, "content": content} for turn, content in pairs]


def cut(text: str, turns: Sequence[Turn], pieces: Sequence[Piece]) -> Written:
    """Cut what a template wrote where the signs of contents stand.

    Args:
        text: What it wrote.
        turns: The conversation.
        pieces: Of it.

    Returns:
        The pieces, and the text between them.

    Raises:
        ConversationError: One is missing, stands there twice, or in another one's place.
    """
    waiting: dict[str, list[Piece]] = {}
    halves = [half for index, turn in enumerate(turns) for half in _halves(index, turn)]
    for piece in [*pieces, *halves]:
        waiting.setdefault(piece.sign, []).append(piece)
    signs = sorted(waiting, key=len, reverse=True)
    found, between, end = [], [], 0
    for match in re.finditer("|".join([*map(re.escape, signs), _MARK]), text):
        if not waiting.get(match.group()):
            raise _disorder()
        found.append(waiting[match.group()].pop(0))
        between.append(text[end : match.start()])
        end = match.end()
    between.append(text[end:])
    halved = {piece.turn for piece in found if piece.kind == _MEDIA}
    whole = [piece for piece in found if piece.kind not in (_MEDIA, _WORDS)]
    expected = [piece for piece in pieces if piece.turn not in halved]
    is_whole = len(whole) == len(expected) and all(piece.turn not in halved for piece in whole)
    has_media = all(piece.turn in halved for piece in found if piece.kind == _WORDS)
    is_in_order = all(one.turn <= other.turn for one, other in pairwise(found))
    if not (is_whole and has_media and is_in_order) or _texts(whole) != _texts(expected):
        raise _disorder()
    return Written(pieces=tuple(found), between=tuple(between))


def media_sign(index: int) -> str:
    """What stands for the media of a turn, without its words."""
    return f"{_OPEN}{_MEDIA} {index}{_CLOSE}"


def words_sign(index: int) -> str:
    """What stands for the words of a turn, without its media."""
    return f"{_OPEN}{_WORDS} {index}{_CLOSE}"


def _halves(index: int, turn: Turn) -> tuple[Piece, Piece]:
    """The media of a turn, with the recipe's text around them, and its words."""
    media = [item for item in turn.content if isinstance(item, MediaSegment)]
    words = tuple(item for item in turn.content if isinstance(item, TextSegment))
    return (
        Piece(
            turn=index,
            kind=_MEDIA,
            content=tuple(part for item in media for part in item.with_text()),
            sign=media_sign(index),
        ),
        Piece(
            turn=index,
            kind=_WORDS,
            content=trimmed(replace(turn, content=words)).content,
            sign=words_sign(index),
        ),
    )


def _texts(pieces: Sequence[Piece]) -> list[str]:
    return [piece.sign for piece in pieces if piece.kind == _TEXT]


def _disorder() -> ConversationError:
    return ConversationError(
        f"the model's chat template drops, repeats or reorders messages or media; {next_step()}"
    )
