"""Messages and their parts: the one shape of a conversation, in requests, manifests and clients.

Does not decode media, tokenise text or open files: a part only says where its medium is.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from anymal.errors import ConversationError
from anymal.protocol.explain import explain

Model = TypeVar("Model", bound=BaseModel)

AccelerationUnit = Literal["m/s2", "g"]
RotationUnit = Literal["rad/s", "deg/s"]
ImuFormat = Literal["csv", "npy", "npz", "parquet", "json"]


class Strict(BaseModel):
    """Frozen; a key that is not declared is an error; a key set to null is absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The schema says of null what the validator below does, and that a part names its type.
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties, required = schema.get("properties", {}), schema.setdefault("required", [])
        if "const" in properties.get("type", {}):
            required.append("type")
        for name in properties.keys() - set(required):
            properties[name] = _or_null(properties[name])
        schema["additionalProperties"] = {"type": "null"}
        return schema

    @model_validator(mode="before")
    @classmethod
    def _null_means_absent(cls, value: Any) -> Any:
        # Stock clients send `"tools": null`, and replay answers as `"refusal": null`.
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
        return value


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


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """What a schema allows, or null."""
    if {"type": "null"} in schema.get("anyOf", ()):
        return schema
    names = ("description", "title", "default")
    about: JsonSchemaValue = {name: schema[name] for name in names if name in schema}
    value = {key: item for key, item in schema.items() if key not in about}
    return {"anyOf": [value, {"type": "null"}], **about}


class MediaUrl(Strict):
    """Where a medium is: a data URL, or (manifests and data sources only) a path."""

    url: str = Field(min_length=1, description="data: URL; a relative path only in manifests")


class ImageUrl(MediaUrl):
    """Where an image is."""

    detail: Literal["auto"] = Field("auto", description="only auto: the encoder sets the size")


class InputAudio(Strict):
    """A sound inside the request."""

    data: str = Field(min_length=1, description="base64 of an audio file")
    format: str = Field(min_length=1, description="what the file is, such as wav or mp3")


class InputImu(Strict):
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


class TextPart(Strict):
    """Words."""

    type: Literal["text"] = "text"
    text: Words


class ImagePart(Strict):
    """An image."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class VideoPart(Strict):
    """A video."""

    type: Literal["video_url"] = "video_url"
    video_url: MediaUrl


class InputAudioPart(Strict):
    """A sound, base64 inside the request."""

    type: Literal["input_audio"] = "input_audio"
    input_audio: InputAudio


class AudioUrlPart(Strict):
    """A sound by URL."""

    type: Literal["audio_url"] = "audio_url"
    audio_url: MediaUrl


class ImuPart(Strict):
    """A motion recording."""

    type: Literal["input_imu"] = "input_imu"
    input_imu: InputImu


class InputMedia(MediaUrl):
    """A medium of a modality that another package brings."""

    modality: str = Field(pattern="^[a-z][a-z0-9_]*$", description="name of the modality")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="what its decoder takes besides the file"
    )


class InputMediaPart(Strict):
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


class PromptEmbedsPart(Strict):
    """Soft tokens in the place of a medium; services take them from trusted callers only."""

    type: Literal["prompt_embeds"] = "prompt_embeds"
    prompt_embeds: PromptEmbeds


MediaPart = ImagePart | VideoPart | InputAudioPart | AudioUrlPart | ImuPart | InputMediaPart
Part = Annotated[TextPart | MediaPart | PromptEmbedsPart, Field(discriminator="type")]


def _content_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    return "parts" if isinstance(value, list | tuple) else None


Content = Annotated[
    Annotated[Words, Tag("text")] | Annotated[list[Part], Tag("parts"), Field(min_length=1)],
    Discriminator(
        _content_tag,
        custom_error_type="content_type",
        custom_error_message="content must be text, or a list of parts",
    ),
]


class Message(Strict):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    refusal: str | None = Field(None, description="of an answer that is sent back; not read")

    @property
    def parts(self) -> list[TextPart | MediaPart | PromptEmbedsPart]:
        """The content as parts, also where it was given as one string."""
        if isinstance(self.content, str):
            return [TextPart(text=self.content)]
        return list(self.content)


class Conversation(Strict):
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
    text = base64.b64encode(data).decode("ascii")
    return f"data:{media_type or 'application/octet-stream'};base64,{text}"
