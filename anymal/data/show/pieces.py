"""The words of a row in runs: what is read, what is learnt, and the places of media.

Does not tokenise: without a model, runs are whole messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from anymal.modality import modality_of
from anymal.protocol.conversation import Conversation, PromptEmbedsPart, TextPart

Kind = Literal["read", "learnt", "slot", "role"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of one kind.

    Attributes:
        text: Its words; of a slot, which medium stands there.
        kind: What the model does with it; "role" is a heading that it does not see.
        num_tokens: How many positions it takes, where a model tells that.
    """

    text: str
    kind: Kind
    num_tokens: int | None = None


def pieces_of(conversation: Conversation) -> Iterator[Piece]:
    """Cut a conversation into runs without a model: what an assistant says is learnt.

    Args:
        conversation: Its turns.

    Yields:
        The runs, the role of each turn before it.
    """
    number = 0
    for message in conversation.messages:
        yield Piece(text=message.role, kind="role")
        for part in message.parts:
            if isinstance(part, TextPart):
                yield Piece(text=part.text, kind="learnt" if message.is_learnt else "read")
                continue
            number += 1
            name = "embeds" if isinstance(part, PromptEmbedsPart) else modality_of(part)
            yield Piece(text=f"{name} {number}", kind="slot")
