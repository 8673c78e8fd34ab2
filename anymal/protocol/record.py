"""Messages of a record to train on, whose answers may be read without being learnt.

Requests take no such mark; they are validated by `anymal.protocol.requests`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from anymal.protocol.conversation import Conversation, Message, validated
from anymal.protocol.sizes import check_length
from anymal.protocol.strict import Strict


class RecordMessage(Message):
    """One turn of a record."""

    loss: bool = Field(True, description="of an answer: whether it is learnt")

    @model_validator(mode="after")
    def _only_answers_are_learnt(self) -> Self:
        if "loss" in self.model_fields_set and self.role != "assistant":
            raise ValueError("loss belongs to a message of the assistant; others are never learnt")
        return self

    @property
    def is_learnt(self) -> bool:
        """Whether the model learns to write it."""
        return self.loss and super().is_learnt


class _Record(Strict):
    """The part of a record that is checked here."""

    messages: Annotated[list[RecordMessage], Field(fail_fast=True)] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _fits_a_context(cls, value: Any) -> Any:
        check_length(value)
        return value


def read_record(record: Mapping[str, Any]) -> Conversation:
    """Validate the `messages` of a record to train on.

    Args:
        record: A mapping with `messages`; its other keys (`id`, `meta`) are the caller's.

    Returns:
        The conversation; `is_learnt` of its messages tells which are.

    Raises:
        ConversationError: If the shape is wrong; the message names the key.
    """
    read = validated(_Record, {"messages": record.get("messages")})
    return Conversation(messages=[*read.messages])
