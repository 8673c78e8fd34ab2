"""Named suffixes: what is added to a question so that its answer takes a certain form.

The wording is that of LLaVA-1.5 (arXiv 2310.03744), so that a model which learnt it is asked as it
was. Does not read files and does not know chat templates.
"""

from collections.abc import Mapping
from typing import Any

SUFFIXES: dict[str, str] = {
    "short": "Answer the question using a single word or phrase.",
    "choice": "Answer with the option's letter from the given choices directly.",
    "region": "Provide a short description for this region.",
    "box": "Provide the bounding box coordinate of the region this sentence describes.",
}


def with_suffix(record: Mapping[str, Any], suffix: str) -> Mapping[str, Any]:
    """End the user's last message with a suffix, on a line of its own.

    Args:
        record: With `messages`. One of another shape is returned as it is.
        suffix: The words.

    Returns:
        The record; the same if the message ends so already.
    """
    messages = record.get("messages")
    if not isinstance(messages, list):
        return record
    asked = [i for i, one in enumerate(messages) if isinstance(one, Mapping) and _is_asked(one)]
    if not asked:
        return record
    last = messages[asked[-1]]
    content = _ended(last.get("content", ""), suffix)
    changed = [*messages[: asked[-1]], {**last, "content": content}, *messages[asked[-1] + 1 :]]
    return {**record, "messages": changed}


def _is_asked(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "user"


def _ended(content: Any, suffix: str) -> Any:
    """The content of a message, its last words followed by the suffix."""
    if isinstance(content, str):
        words = content.rstrip()
        return content if words.endswith(suffix) else f"{words}\n{suffix}".lstrip()
    if not isinstance(content, list):
        return content
    texts = [i for i, part in enumerate(content) if isinstance(part, Mapping) and "text" in part]
    if not texts:
        return [*content, {"type": "text", "text": suffix}]
    last = texts[-1]
    part = {**content[last], "text": _ended(content[last]["text"], suffix)}
    return [*content[:last], part, *content[last + 1 :]]
