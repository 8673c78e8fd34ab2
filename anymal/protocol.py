"""Request and response models of the REST API, shared by server and client.

Does not know HTTP. The conversation inside a request is `anymal.conversation`'s.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator
from pydantic_core import PydanticCustomError

from anymal.conversation import (
    AccelerationUnit,
    AudioUrlPart,
    Conversation,
    ImagePart,
    ImageUrl,
    ImuFormat,
    ImuPart,
    InputAudio,
    InputAudioPart,
    InputImu,
    MediaPart,
    MediaUrl,
    Message,
    Part,
    RotationUnit,
    Strict,
    TextPart,
    VideoPart,
    read_conversation,
)

__all__ = [
    "AccelerationUnit",
    "AnswerMessage",
    "AudioUrlPart",
    "ChatCompletionChunk",
    "ChatCompletionRequest",
    "ChatCompletionResponse",
    "Choice",
    "ChunkChoice",
    "Conversation",
    "Delta",
    "ErrorBody",
    "ErrorDetail",
    "FinishReason",
    "ImagePart",
    "ImageUrl",
    "ImuFormat",
    "ImuPart",
    "InputAudio",
    "InputAudioPart",
    "InputImu",
    "MediaPart",
    "MediaUrl",
    "Message",
    "ModelCard",
    "ModelList",
    "Part",
    "RotationUnit",
    "StreamOptions",
    "TextPart",
    "Usage",
    "VideoPart",
    "read_conversation",
]

FinishReason = Literal["stop", "length"]

# What stock clients may send and this service does not do; the value is the one that asks for
# nothing, and is let through.
_NOT_SUPPORTED: dict[str, Any] = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "logit_bias": {},
    "tools": [],
    "tool_choice": "none",
    "functions": [],
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "store": False,
}


class StreamOptions(Strict):
    """What else a stream carries."""

    include_usage: bool = Field(False, description="send a last chunk with the token counts")


class ChatCompletionRequest(Strict):
    """Body of `POST /v1/chat/completions`."""

    model: str | None = Field(None, description="the served model's name; absent means that one")
    messages: list[Message] = Field(min_length=1, description="turns, oldest first")
    stream: bool = Field(False, description="answer as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="sample among this much probability")
    max_tokens: int | None = Field(None, ge=1, description="most tokens to generate")
    max_completion_tokens: int | None = Field(None, ge=1, description="newer name of max_tokens")
    stop: str | list[str] | None = Field(None, description="up to four strings that end the answer")
    seed: int | None = Field(None, ge=0, lt=2**63, description="makes sampling repeatable")
    user: str | None = Field(None, description="the caller's own mark; not used")
    metadata: dict[str, str] | None = Field(None, description="the caller's own marks; not used")

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_done(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for name, neutral in _NOT_SUPPORTED.items():
            if name in value and value[name] not in (None, neutral):
                raise PydanticCustomError(
                    "unsupported_parameter",
                    "'{param}' is not supported here; leave it out",
                    {"param": name},
                )
        return {key: item for key, item in value.items() if key not in _NOT_SUPPORTED}

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed with stream = true")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give max_tokens or max_completion_tokens, not both")
        if len(self.stop_strings) > 4 or "" in self.stop_strings:
            raise ValueError("stop takes up to four strings, none of them empty")
        return self

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def token_limit(self) -> int | None:
        """Whichever of the two names of the limit was given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class _Reply(BaseModel):
    """Frozen; a newer server may add keys, which an older client ignores."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Usage(_Reply):
    """Token counts of one answer."""

    prompt_tokens: int = Field(description="text and soft tokens of the prompt")
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] = Field(
        default_factory=dict, description="text_tokens, and image_tokens etc. where present"
    )


class AnswerMessage(_Reply):
    """The assistant's turn."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(_Reply):
    """The one answer."""

    index: int = 0
    message: AnswerMessage
    finish_reason: FinishReason


class ChatCompletionResponse(_Reply):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(_Reply):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(_Reply):
    """The one answer's next piece."""

    index: int = 0
    delta: Delta
    finish_reason: FinishReason | None = None

    @field_serializer("delta")
    def _without_nulls(self, delta: Delta) -> dict[str, str]:
        # Stock clients join `content` where the key is there.
        return delta.model_dump(exclude_none=True)


class ChatCompletionChunk(_Reply):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class ModelCard(_Reply):
    """One served model."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str = "anymal"
    modalities: list[str] = Field(default_factory=list, description="media the model takes")


class ModelList(_Reply):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorDetail(_Reply):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(_Reply):
    """Body of every answer that is not 2xx, and of an `error` event."""

    error: ErrorDetail
