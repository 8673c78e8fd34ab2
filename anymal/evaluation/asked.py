"""Digests of what is asked: the same question about the same medium gets the same one anywhere.

Does not ask. A path and a data URL of the same content are the same medium.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.media.limits import Limits
from anymal.modality import modality_of, read_medium
from anymal.protocol.conversation import (
    Part,
    PromptEmbedsPart,
    TextPart,
    VideoPart,
    read_conversation,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, told from others.

    Attributes:
        digest: Of words, roles and media.
        medium: Of the media in the last message that has any, because earlier ones may be examples
            that all questions share; of the words where there are no media.
    """

    digest: str
    medium: str


def read_asked(prompt: Mapping[str, Any], *, limits: Limits, base_dir: Path | None) -> Asked:
    """Read a question with its media.

    Args:
        prompt: A conversation without its answer.
        limits: How many bytes a medium may have.
        base_dir: Folder that media paths are relative to.

    Returns:
        Its digests.

    Raises:
        ConversationError: It is no conversation.
        MediaError: A medium cannot be read.
    """
    messages = [
        [message.role, [_described(part, limits, base_dir) for part in message.parts]]
        for message in read_conversation(prompt).messages
    ]
    digest = digest_of(messages)
    media = [[part for part in parts if part[0] != _TEXT] for _, parts in messages]
    last = next((found for found in reversed(media) if found), None)
    return Asked(digest=digest, medium=digest if last is None else digest_of(last))


def digest_of(value: Any) -> str:
    """The first 128 bits of SHA-256 of a JSON-able value; more would only make logs longer."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


_TEXT = "text"


def _described(part: Part, limits: Limits, base_dir: Path | None) -> list[str]:
    """A part's kind and its words or digest."""
    if isinstance(part, TextPart):
        return [_TEXT, part.text]
    if isinstance(part, PromptEmbedsPart):
        return [part.type, digest_of(part.model_dump(mode="json"))]
    digest = read_medium(part, limits=limits, base_dir=base_dir).digest
    group = [] if part.group is None else [part.group.model_dump_json()]
    has_sound = isinstance(part, VideoPart) and part.video_url.sound
    return [modality_of(part), digest, *group, *(["sound"] if has_sound else [])]
