"""Words with `<image>`, `<video>`, `<audio>` and `<imu>` to message parts in the REST shape.

Does not know where a format keeps its media or its words.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from anymal.data.media_folder import Part
from anymal.errors import DataError
from anymal.modality import MODALITIES

Media = Mapping[str, Sequence[Part]]
"""The media of a row by modality, in order."""

_PLACEHOLDER = re.compile(f"<({'|'.join(MODALITIES)})>(?:\\r?\\n)?")


def with_media(
    messages: Sequence[Mapping[str, Any]], media: Media, *, none_is_first: bool = False
) -> list[dict[str, Any]]:
    """Put media where placeholders stand, in the order of the row, whichever turn that is.

    A line break behind a placeholder goes with it: a model writes its own there (`suffix`).

    Args:
        messages: With `role` and `content`, a string; other keys are kept.
        media: Of the row.
        none_is_first: Whether media of a kind without any placeholder stand at the beginning of
            the first message of the user; otherwise that is a mistake.

    Returns:
        Messages whose content is a string where it has no medium, and a list of parts elsewhere.

    Raises:
        DataError: There are more placeholders than media of a kind, or fewer.
    """
    found = placeholders_of(message["content"] for message in messages)
    first: list[Part] = []
    for modality in MODALITIES:
        given = list(media.get(modality, ()))
        if none_is_first and not found[modality]:
            first += given
        elif len(given) != found[modality]:
            raise DataError(_counts(modality, found[modality], len(given)))
    waiting = {modality: iter(media.get(modality, ())) for modality in MODALITIES}
    filled = [{**message, "content": _content(message["content"], waiting)} for message in messages]
    return _with_first(filled, first) if first else filled


def placeholders_of(texts: Iterable[str]) -> Counter[str]:
    """Count the placeholders in some texts, by modality."""
    return Counter(match[1] for text in texts for match in _PLACEHOLDER.finditer(text))


def _content(text: str, waiting: Mapping[str, Iterator[Part]]) -> str | list[Part]:
    """One message, its placeholders replaced by the media that come next."""
    parts, end = [], 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [*_words(text[end : match.start()]), next(waiting[match[1]])]
        end = match.end()
    return [*parts, *_words(text[end:])] if parts else text


def _words(text: str) -> list[Part]:
    """Words between media; white space alone is none."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _with_first(messages: list[dict[str, Any]], first: list[Part]) -> list[dict[str, Any]]:
    """Put media at the beginning of the first message of the user."""
    for number, message in enumerate(messages):
        if message["role"] == "user":
            content = message["content"]
            rest = _words(content) if isinstance(content, str) else content
            changed = {**message, "content": [*first, *rest]}
            return [*messages[:number], changed, *messages[number + 1 :]]
    raise DataError("there are media and no message of the user's to put them in; add one")


def _counts(modality: str, found: int, given: int) -> str:
    """What is wrong with the number of media, and what to do."""
    return (
        f"{found} placeholder{'s' * (found != 1)} <{modality}> for {given} "
        f"medi{'um' if given == 1 else 'a'} of that kind; write one placeholder where each "
        "medium stands"
    )
