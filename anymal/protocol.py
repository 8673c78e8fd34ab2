"""Request, response and conversation models shared by server, client, command line and data.

Does not decode media, tokenise text or open files: a part only says where its medium is.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from anymal.errors import ConversationError

AccelerationUnit = Literal["m/s2", "g"]
RotationUnit = Literal["rad/s", "deg/s"]
ImuFormat = Literal["csv", "npy", "npz", "parquet", "json"]
FinishReason = Literal["stop", "length"]


class _Strict(BaseModel):
    """Frozen; a key that is not declared is an error; a declared key set to null is absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_absent(cls, value: Any) -> Any:
        # Stock clients send `"tools": null`, and replay answers as `"refusal": null`.
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
        return value


# --- parts of a message -------------------------------------------------------------------------


class MediaUrl(_Strict):
    """Where a medium is: a data URL, or (manifests and data sources only) a path."""

    url: str = Field(min_length=1, description="data: URL; a relative path only in manifests")


class ImageUrl(MediaUrl):
    """Where an image is."""

    detail: Literal["auto"] = Field("auto", description="only auto: the encoder sets the size")


class InputAudio(_Strict):
    """A sound inside the request."""

    data: str = Field(min_length=1, description="base64 of an audio file")
    format: Literal["wav", "flac", "ogg", "mp3", "m4a", "webm"] = Field(
        description="container of the audio file"
    )


class InputImu(_Strict):
    """A motion recording: exactly one of `data` (with `format`), `url` and `samples`."""

    data: str | None = Field(None, min_length=1, description="base64 of a recording file")
    url: str | None = Field(
        None, min_length=1, description="data: URL; a relative path only in manifests"
    )
    samples: list[list[float]] | None = Field(
        None, min_length=1, description="rows of ax, ay, az[, gx, gy, gz]"
    )
    format: ImuFormat | None = Field(None, description="file format; required with data")
    rate_hz: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="samples per second; required with samples"
    )
    acceleration_unit: AccelerationUnit = Field("m/s2", description="unit of ax, ay, az")
    rotation_unit: RotationUnit = Field("rad/s", description="unit of gx, gy, gz")

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> Self:
        given = [name for name in ("data", "url", "samples") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of data, url and samples; found {found}")
        if self.data is not None and self.format is None:
            raise ValueError("data needs format: one of csv, npy, npz, parquet, json")
        if self.samples is not None and self.rate_hz is None:
            raise ValueError("samples needs rate_hz, the number of samples per second")
        if self.samples is not None and self.format is not None:
            raise ValueError("samples takes no format; remove format, or send data instead")
        return self


class TextPart(_Strict):
    """Words."""

    type: Literal["text"] = "text"
    text: str


class ImagePart(_Strict):
    """An image."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class VideoPart(_Strict):
    """A video."""

    type: Literal["video_url"] = "video_url"
    video_url: MediaUrl


class InputAudioPart(_Strict):
    """A sound, base64 inside the request."""

    type: Literal["input_audio"] = "input_audio"
    input_audio: InputAudio


class AudioUrlPart(_Strict):
    """A sound by URL."""

    type: Literal["audio_url"] = "audio_url"
    audio_url: MediaUrl


class ImuPart(_Strict):
    """A motion recording."""

    type: Literal["input_imu"] = "input_imu"
    input_imu: InputImu


MediaPart = ImagePart | VideoPart | InputAudioPart | AudioUrlPart | ImuPart
Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


def _content_tag(value: Any) -> str:
    return "text" if isinstance(value, str) else "parts"


Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Tag("parts"), Field(min_length=1)],
    Discriminator(_content_tag),
]


class Message(_Strict):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content

    @property
    def parts(self) -> list[TextPart | MediaPart]:
        """The content as parts, also where it was given as one string."""
        if isinstance(self.content, str):
            return [TextPart(text=self.content)]
        return list(self.content)


class Conversation(_Strict):
    """Turns, oldest first."""

    messages: list[Message] = Field(min_length=1)


def read_conversation(record: Mapping[str, Any]) -> Conversation:
    """Validate the `messages` of a record.

    Args:
        record: A mapping with `messages`; its other keys (`id`, `meta`) are the caller's.

    Returns:
        The conversation.

    Raises:
        ConversationError: If the shape is wrong; the message names the key.
    """
    try:
        return Conversation.model_validate({"messages": record.get("messages")})
    except ValidationError as error:
        raise ConversationError(explain(error, record).message) from None


# --- requests -----------------------------------------------------------------------------------

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


class StreamOptions(_Strict):
    """What else a stream carries."""

    include_usage: bool = Field(False, description="send a last chunk with the token counts")


class ChatCompletionRequest(_Strict):
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


# --- responses ----------------------------------------------------------------------------------


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


# --- explaining a refusal -----------------------------------------------------------------------


def explain(error: ValidationError, given: Any) -> ErrorDetail:
    """Say the first problem of a refused body as a person would.

    Args:
        error: What pydantic found.
        given: The value that was validated.

    Returns:
        An error whose `param` is the path of the key, such as `messages.0.content.1.type`.
    """
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    param = str(context["param"]) if "param" in context else _path(first["loc"], first, given)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "this key is not known here; remove it or correct its spelling"
    return ErrorDetail(
        message=f"{param}: {message}" if param and "param" not in context else message,
        type="invalid_request_error",
        param=param or None,
        code=first["type"],
    )


def _path(location: tuple[int | str, ...], problem: Mapping[str, Any], given: Any) -> str:
    """The location without the names that pydantic adds for members of a union."""
    steps: list[str] = []
    for index, step in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(given, Mapping) and step in given:
            given = given[step]
        elif isinstance(given, list) and isinstance(step, int) and step < len(given):
            given = given[step]
        elif not (is_last and problem["type"] == "missing"):
            continue
        steps.append(str(step))
    return ".".join(steps)
