"""Messages and their parts: the one shape of a conversation, in requests, manifests and clients.

Does not decode media, tokenise text or open files: a part only says where its medium is.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from anymal.errors import ConversationError
from anymal.protocol.explain import explain
from anymal.protocol.file_part import FilePart, medium_of_file
from anymal.protocol.group import GroupRef
from anymal.protocol.input_imu import InputImu
from anymal.protocol.media_url import ImageRef, MediaUrl, Url, VideoRef
from anymal.protocol.sizes import OPTIONS, check_length
from anymal.protocol.strict import Strict, StrictMedium, StrictPart
from anymal.protocol.without_effect import MESSAGE, Rows

Model = TypeVar("Model", bound=BaseModel)
_PIECE_BYTES = 3 * 2**20  # of a file; a multiple of three, so that base64 pads the last one alone


def _whole_characters(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"holds half of a character at {error.start} (a surrogate alone); send whole ones"
        ) from None
    return text


Words = Annotated[str, AfterValidator(_whole_characters)]
"""Text of whole characters: JSON can spell halves, which no tokeniser reads."""


class InputAudio(StrictMedium):
    """A sound inside the request."""

    data: str = Field(min_length=1, description="base64, or a data: URL, of an audio file")
    format: str | None = Field(
        None, min_length=1, description="what the file is, such as wav or mp3"
    )


class TextPart(StrictPart):
    """Words."""

    type: Literal["text"] = "text"
    text: Words


class _Medium(StrictPart):
    """A medium, which may be on one clock with others of its message."""

    group: GroupRef | None = Field(
        None, description="the clock that it shares with other media of the message"
    )


class ImagePart(_Medium):
    """An image."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageRef


class VideoPart(_Medium):
    """A video."""

    type: Literal["video_url"] = "video_url"
    video_url: VideoRef


class InputAudioPart(_Medium):
    """A sound, base64 inside the request."""

    type: Literal["input_audio"] = "input_audio"
    input_audio: InputAudio


class AudioUrlPart(_Medium):
    """A sound by URL."""

    type: Literal["audio_url"] = "audio_url"
    audio_url: Url


class ImuPart(_Medium):
    """A motion recording."""

    type: Literal["input_imu"] = "input_imu"
    input_imu: InputImu


class InputMedia(MediaUrl):
    """A medium of a modality that another package brings."""

    modality: str = Field(
        pattern="^[a-z][a-z0-9_]*$", max_length=100, description="name of the modality"
    )
    options: Annotated[dict[str, str | int | float | bool], OPTIONS] = Field(
        default_factory=dict, description="what its decoder takes besides the file"
    )


class InputMediaPart(_Medium):
    """A medium that has no part type of its own."""

    type: Literal["input_media"] = "input_media"
    input_media: InputMedia


class PromptEmbeds(Strict):
    """Soft tokens of the caller's own."""

    data: str = Field(
        min_length=1, description="base64 of a safetensors file with one tensor, embeds [Q, D_llm]"
    )
    modality: str | None = Field(
        None, description="the medium they stand for: written among the words as that medium is"
    )


class PromptEmbedsPart(StrictPart):
    """Soft tokens in the place of a medium; services take them from trusted callers only."""

    type: Literal["prompt_embeds"] = "prompt_embeds"
    prompt_embeds: PromptEmbeds


MediaPart = ImagePart | VideoPart | InputAudioPart | AudioUrlPart | ImuPart | InputMediaPart
Part = Annotated[
    Annotated[TextPart | MediaPart | PromptEmbedsPart, Field(discriminator="type")],
    BeforeValidator(
        medium_of_file,
        json_schema_input_type=Annotated[
            TextPart | MediaPart | PromptEmbedsPart | FilePart, Field(discriminator="type")
        ],
    ),
]


def _content_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    return "parts" if isinstance(value, list | tuple) else None


TEXT_OR_PARTS = Discriminator(
    _content_tag,
    custom_error_type="content_type",
    custom_error_message="content must be text, or a list of parts",
)
Content = Annotated[
    Annotated[Words, Tag("text")] | Annotated[list[Part], Field(fail_fast=True), Tag("parts")],
    TEXT_OR_PARTS,
]


class Message(Strict):
    """One turn."""

    without_effect: ClassVar[Rows] = MESSAGE

    role: Literal["system", "developer", "user", "assistant"]
    content: Content = Field("", description="words or parts; only an assistant's may be absent")
    refusal: str | None = Field(None, description="of an answer that is sent back; not read")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        # Stock clients send back an answer that was cut before its first word as null or [].
        is_empty = "content" not in self.model_fields_set or self.content == []
        if is_empty and self.role != "assistant":
            raise PydanticCustomError(
                "empty_content", "content is empty; only an assistant's message may be without any"
            )
        return self

    @property
    def parts(self) -> list[TextPart | MediaPart | PromptEmbedsPart]:
        """The content as parts, also where it was given as one string."""
        if isinstance(self.content, str):
            return [TextPart(text=self.content)]
        return list(self.content)

    @property
    def media(self) -> dict[int, MediaPart | PromptEmbedsPart]:
        """The parts that are no text, by their places; of text alone, no part is made."""
        if isinstance(self.content, str):
            return {}
        return {n: part for n, part in enumerate(self.content) if not isinstance(part, TextPart)}

    @property
    def is_learnt(self) -> bool:
        """Whether a model that trains on it learns to write it."""
        return self.role == "assistant"


class Conversation(Strict):
    """Turns, oldest first."""

    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _fits_a_context(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            check_length(value)
        return value


def read_conversation(record: Mapping[str, Any]) -> Conversation:
    """Validate the `messages` of a record.

    Args:
        record: A mapping with `messages`; its other keys (`id`, `meta`) are the caller's.

    Returns:
        The conversation.

    Raises:
        ConversationError: If the shape is wrong; the message names the key.
    """
    return validated(Conversation, {"messages": record.get("messages")})


def validated(model: type[Model], value: Mapping[str, Any]) -> Model:
    """Validate a message, or a part of one.

    Args:
        model: What it should be.
        value: Its fields.

    Returns:
        The model.

    Raises:
        ConversationError: If it is something else; the message names the key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConversationError(explain(error.errors(), value).message) from None


def data_url(data: bytes, media_type: str | None = None) -> str:
    """Bytes as the URL of a medium; services recognise the kind of file by its content."""
    view = memoryview(data)
    # Piece by piece, because each step holds the interpreter.
    pieces = [
        base64.b64encode(view[start : start + _PIECE_BYTES]).decode("ascii")
        for start in range(0, len(view), _PIECE_BYTES)
    ]
    return "".join([f"data:{media_type or 'application/octet-stream'};base64,", *pieces])
