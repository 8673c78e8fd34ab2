"""Body of `POST /v1/responses`, and the chat completion that asks the same.

Nothing is kept between requests: each holds its conversation whole. Does not know HTTP.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from anymal.protocol.conversation import TEXT_OR_PARTS, Message, Words
from anymal.protocol.requests import (
    AtLeastOne,
    ChatCompletionRequest,
    StreamOptions,
    Temperature,
    TolerantRequest,
    UpToTwenty,
)
from anymal.protocol.response_parts import ResponsePart
from anymal.protocol.strict import Number, Strict
from anymal.protocol.without_effect import ITEM, RESPONSE, RESPONSE_TEXT, Rows

LOGPROBS = "message.output_text.logprobs"
_NOT_KEPT = {
    "previous_response_id": "nothing is stored here; send the earlier turns in input",
    "conversation": "nothing is stored here; send the earlier turns in input",
    "prompt": "no prompts are stored here; send the words in instructions and input",
}


class InputMessage(Message):
    """One turn: a message, or an answer that is sent back as it came."""

    without_effect: ClassVar[Rows] = ITEM

    type: Literal["message"] = "message"
    content: Annotated[
        Annotated[Words, Tag("text")]
        | Annotated[list[ResponsePart], Field(fail_fast=True), Tag("parts")],
        TEXT_OR_PARTS,
    ] = Field("", description="words or parts; only an assistant's may be absent")
    id: str | None = Field(None, description="of an answer that is sent back; not read")
    status: str | None = Field(None, description="of an answer that is sent back; not read")


class Thought(Strict):
    """What another model thought before an answer that is sent back; not read."""

    type: Literal["reasoning"]


def _item_tag(item: Any) -> str | None:
    kind = item.get("type") or "message" if isinstance(item, Mapping) else None
    return kind if kind in ("message", "reasoning") else None


Item = Annotated[
    Annotated[InputMessage, Tag("message")] | Annotated[Thought, Tag("reasoning")],
    Discriminator(
        _item_tag,
        custom_error_type="unsupported_item",
        custom_error_message="only messages are taken here: objects with role and content; "
        "calls of tools and references to stored items are not",
    ),
]


def _input_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    return "items" if isinstance(value, list) else None


Input = Annotated[
    Annotated[Words, Tag("text")]
    | Annotated[list[Item], Field(min_length=1, fail_fast=True), Tag("items")],
    Discriminator(
        _input_tag,
        custom_error_type="input_type",
        custom_error_message="input must be text, or a list of messages",
    ),
]


class TextOptions(Strict):
    """The form of the text; it is always plain."""

    without_effect: ClassVar[Rows] = RESPONSE_TEXT


Includable = Literal[
    "message.output_text.logprobs",
    # What only answers with tools, thoughts or stored media have.
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "web_search_call.action.sources",
    "web_search_call.results",
]


class ResponseRequest(TolerantRequest):
    """Body of `POST /v1/responses`."""

    without_effect: ClassVar[Rows] = RESPONSE

    model: str | None = Field(None, description="a served model's name; absent means the first")
    input: Input = Field(description="the question, or the conversation, oldest turn first")
    instructions: Words | None = Field(None, description="a system message before the input")
    stream: bool = Field(False, description="answer as server-sent events")
    stream_options: StreamOptions | None = Field(
        None, description="the token counts always come with the last event"
    )
    temperature: Temperature = 0.0
    top_p: Number = Field(
        1.0, ge=0, le=1, description="sample among this much probability; 0 takes the likeliest"
    )
    max_output_tokens: AtLeastOne = Field(None, description="most tokens to generate")
    include: list[Includable] | None = Field(
        None, description=f"what else to return; of these, answers here have only {LOGPROBS}"
    )
    top_logprobs: UpToTwenty = Field(
        None, description="likeliest alternatives to return with each token"
    )
    text: TextOptions | None = Field(None, description="plain text is the only form")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_kept(cls, value: Any) -> Any:
        for name, reason in _NOT_KEPT.items():
            if isinstance(value, Mapping) and value.get(name) is not None:
                raise PydanticCustomError(
                    "unsupported_parameter", "{param}: {why}", {"param": name, "why": reason}
                )
        return value

    @model_validator(mode="after")
    def _has_a_message(self) -> Self:
        if not self._turns():
            raise PydanticCustomError(
                "missing", "{param}: there is no message in it", {"param": "input"}
            )
        return self

    @property
    def has_logprobs(self) -> bool:
        """Whether to return the log-probability of each token."""
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)

    def chat(self) -> ChatCompletionRequest:
        """The chat completion that asks the same."""
        turns = [Message(role=turn.role, content=turn.content) for turn in self._turns().values()]
        system = [] if self.instructions is None else [self._instructions()]
        body = {
            "messages": [*system, *turns],
            "model": self.model,
            "stream": self.stream,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_output_tokens,
            "logprobs": self.has_logprobs,
            "top_logprobs": self.top_logprobs,
        }
        return ChatCompletionRequest.model_validate(body)

    def place(self, place: str) -> str:
        """This request's name for a place in the messages of `chat()`, or for another field.

        Args:
            place: Such as `messages.2.content.0`.

        Returns:
            Such as `input.1.content.0`.
        """
        names = [] if self.instructions is None else ["instructions"]
        is_text = isinstance(self.input, str)
        names += ["input" if is_text else f"input.{index}" for index in self._turns()]
        head, number, rest = (*place.split(".", 2), "", "")[:3]
        if head == "max_tokens":
            return "max_output_tokens"
        if head != "messages":
            return place
        name = names[int(number)] if number else "input"
        return name if is_text or name == "instructions" or not rest else f"{name}.{rest}"

    def _turns(self) -> dict[int, Message]:
        """The messages of the input by their place in it."""
        if isinstance(self.input, str):
            return {0: Message(role="user", content=self.input)}
        items = enumerate(self.input)
        return {index: item for index, item in items if isinstance(item, InputMessage)}

    def _instructions(self) -> Message:
        return Message(role="system", content=self.instructions or "")
