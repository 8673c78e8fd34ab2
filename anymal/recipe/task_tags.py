"""Named task tags: what is put before a request so that a model knows which task it is.

They are those of MiniGPT-v2 (arXiv 2310.09478). A tag is ordinary text: no vocabulary grows by it.
Free conversation has none. Does not read files and does not know chat templates.
"""

from collections.abc import Mapping
from typing import Any

TAGS: dict[str, str] = {
    name: f"[{name}]" for name in ("vqa", "caption", "grounding", "refer", "identify", "detection")
}


def with_tag(record: Mapping[str, Any], tag: str) -> Mapping[str, Any]:
    """Begin the words of the user's last message with a tag.

    Args:
        record: With `messages`. One of another shape is returned as it is.
        tag: The words.

    Returns:
        The record; the same if the message begins so already.
    """
    messages = record.get("messages")
    if not isinstance(messages, list):
        return record
    asked = [
        index
        for index, one in enumerate(messages)
        if isinstance(one, Mapping) and one.get("role") == "user"
    ]
    if not asked:
        return record
    last = messages[asked[-1]]
    content = _begun(last.get("content", ""), tag)
    changed = [*messages[: asked[-1]], {**last, "content": content}, *messages[asked[-1] + 1 :]]
    return {**record, "messages": changed}


def _begun(content: Any, tag: str) -> Any:
    """The content of a message, its first words after the tag."""
    if isinstance(content, str):
        words = content.lstrip()
        return content if words.startswith(tag) else f"{tag} {words}".rstrip()
    if not isinstance(content, list):
        return content
    texts = [i for i, part in enumerate(content) if isinstance(part, Mapping) and "text" in part]
    if not texts:
        return [*content, {"type": "text", "text": tag}]
    first = texts[0]
    part = {**content[first], "text": _begun(content[first]["text"], tag)}
    return [*content[:first], part, *content[first + 1 :]]
