"""Questions about media of one clock."""

from typing import Any

from anymal.sample import Sample

Part = dict[str, Any]
QUESTION = {"type": "text", "text": "Which came first?"}


def conversation(*parts: Part, group: Any = "g", **changes: Any) -> dict[str, Any]:
    """A question; `imu={...}` is the group of the motion."""
    content = []
    for part in parts:
        own = changes.get("imu", group) if part["type"] == "input_imu" else group
        is_text = part["type"] == "text"
        content.append(part if is_text or own is None else {**part, "group": own})
    messages = [{"role": "user", "content": [*content, QUESTION]}]
    return {"messages": messages}


def answered(record: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [*record["messages"], {"role": "assistant", "content": "It is red."}]}


def order(sample: Sample) -> list[tuple[str, int]]:
    return [(slot.modality, slot.window) for slot in sample.slots]
