"""The media of a conversation, written elsewhere: what import and export have in common.

Does not write files and does not check messages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.data.endings import ending_of_format
from anymal.data.media_folder import Part, is_list
from anymal.errors import DataError
from anymal.media.formats import detect
from anymal.media.limits import Limits
from anymal.media.source import read_base64, read_source

_DATA = "data:"
_LIMITS = Limits()
_WITHOUT_EFFECT = {"detail"}


def map_media(messages: Sequence[Any], change: Callable[[Part], Part]) -> list[Any]:
    """Replace each medium of some messages.

    Args:
        messages: In the REST shape; what is of another shape stays as it is.
        change: Is given a part that holds no text, and returns what takes its place.

    Returns:
        New messages; the old ones are as they were.
    """
    return [
        {**message, "content": _changed(message["content"], change)}
        if isinstance(message, Mapping) and is_list(message.get("content"))
        else message
        for message in messages
    ]


def _changed(content: Sequence[Any], change: Callable[[Part], Part]) -> list[Any]:
    return [change(dict(part)) if _is_medium(part) else part for part in content]


def _is_medium(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") != "text"


def tidied(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join neighbouring words, and write what is words alone as a string.

    White space alone beside a medium is left out, as formats with placeholders leave it out.
    """
    return [{**message, "content": _tidied(message.get("content", ""))} for message in messages]


def _tidied(content: Any) -> Any:
    """The content of one message."""
    if not is_list(content):
        return content
    parts: list[Part] = []
    for part in content:
        if part["type"] == "text" and parts and parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + part["text"]}
        else:
            parts.append({"type": "text", "text": part["text"]} if part["type"] == "text" else part)
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return [part for part in parts if part["type"] != "text" or part["text"].strip()]


@dataclass(slots=True, kw_only=True)
class Rewriter:
    """Moves media out of records, to where `put` keeps them.

    Attributes:
        base_dir: Folder that paths in the records are relative to.
        copies: Whether media that are files already are copied too.
        put: Keeps the bytes of a medium, given the ending for its name; returns its new path.
        num_put: How many were put.
        num_paths: How many are still where they were.
    """

    base_dir: Path
    copies: bool
    put: Callable[[bytes, str], str]
    num_put: int = 0
    num_paths: int = 0

    def rewritten(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record, tidied, with the new places of its media.

        Raises:
            DataError: It has a medium that is no file.
            MediaError: A file cannot be read.
        """
        return {**record, "messages": map_media(tidied(record["messages"]), self._part)}

    def _part(self, part: Part) -> Part:
        """A part with the new place of its medium."""
        kind = part["type"]
        if not isinstance(part.get(kind), Mapping):
            raise DataError(f"a part of the type {kind!r} cannot be written to a file")
        body = {key: value for key, value in part[kind].items() if key not in _WITHOUT_EFFECT}
        if "data" in body:
            return self._inline(kind, body)
        if "url" in body:
            url = body["url"]
            body["url"] = [*map(self._moved, url)] if is_list(url) else self._moved(url)
        return {"type": kind, kind: body}

    def _inline(self, kind: str, body: dict[str, Any]) -> Part:
        """A part that carries base64, as one that names a file."""
        data = read_base64(body.pop("data"), limits=_LIMITS, name=kind).data
        if kind == "input_audio":
            return {"type": "audio_url", "audio_url": {"url": self._put(data)}}
        return {"type": kind, kind: {**body, "url": self._put(data)}}

    def _moved(self, url: str) -> str:
        """Where a medium is now."""
        if url[: len(_DATA)].lower() != _DATA and not self.copies:
            self.num_paths += 1
            return url
        source = read_source(url, limits=_LIMITS, base_dir=self.base_dir)
        return self._put(source.data)

    def _put(self, data: bytes) -> str:
        self.num_put += 1
        return self.put(data, ending_of_format(detect(data).key))
