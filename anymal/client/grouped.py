"""Media of a question that were recorded together: their parts, on one clock.

Does not read media.
"""

from collections.abc import Mapping, Sequence

from anymal.errors import ConversationError
from anymal.protocol.conversation import ImagePart, ImuPart, MediaPart, VideoPart, validated
from anymal.protocol.group import Group

_KINDS = ("video", "audio", "imu")
_NAME = "together"


def grouped(
    parts: Sequence[MediaPart], *, is_group: bool, start_s: Mapping[str, float]
) -> list[MediaPart]:
    """Put films, sounds and motions on one clock; images stay where they are.

    Args:
        parts: Of one message.
        is_group: Whether they are a group.
        start_s: When they begin, by kind.

    Raises:
        ConversationError: A beginning is given without a group, or of another kind, or is no time.
    """
    if start_s and not is_group:
        raise ConversationError("start_s is for media of a group; add group=True")
    if unknown := sorted(set(start_s) - set(_KINDS)):
        raise ConversationError(
            f"start_s names {', '.join(unknown)}; on a clock are {', '.join(_KINDS)}"
        )
    if not is_group:
        return list(parts)
    groups = {
        kind: validated(Group, {"name": _NAME, "start_s": start_s.get(kind)}) for kind in _KINDS
    }
    return [
        part
        if isinstance(part, ImagePart)
        else part.model_copy(update={"group": groups[_kind(part)]})
        for part in parts
    ]


def _kind(part: MediaPart) -> str:
    if isinstance(part, VideoPart):
        return "video"
    return "imu" if isinstance(part, ImuPart) else "audio"
