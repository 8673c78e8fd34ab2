"""What a conversation holds: how much text, and which media where.

Does not know what a model takes, and reads no medium.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anymal.protocol.conversation import (
    Conversation,
    MediaPart,
    Part,
    PromptEmbedsPart,
    TextPart,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a conversation holds.

    Attributes:
        num_characters: Of all texts together.
        media: The media parts by their places, such as `messages.0.content.1`.
    """

    num_characters: int
    media: dict[str, MediaPart]


def contents_of(conversation: Conversation) -> Contents:
    """Go through the messages once."""
    num_characters, media = 0, {}
    for index, message in enumerate(conversation.messages):
        for number, part in message.media.items():
            if not isinstance(part, PromptEmbedsPart):
                media[f"messages.{index}.content.{number}"] = part
        if isinstance(message.content, str):
            num_characters += len(message.content)
        else:
            num_characters += sum(len(p.text) for p in message.content if isinstance(p, TextPart))
    return Contents(num_characters=num_characters, media=media)


def text_of(parts: Sequence[Part]) -> str:
    """The words of one message, each piece on a line of its own."""
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def media_first(parts: Sequence[Part]) -> list[Part]:
    """The media of a message, then each piece of its text on a line of its own.

    For models that only ever saw media first; OpenAI's examples have the question first.

    Args:
        parts: Of one message.
    """
    media: list[Part] = [part for part in parts if not isinstance(part, TextPart)]
    has_both = 0 < len(media) < len(parts)
    return [*media, TextPart(text=text_of(parts))] if has_both else list(parts)
