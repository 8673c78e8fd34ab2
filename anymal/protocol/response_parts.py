"""The parts of OpenAI's Responses API, which name their media in words of their own, as chat parts.

Does not decode media and opens no file.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field

from anymal.protocol.conversation import MediaPart, Part, PromptEmbedsPart, TextPart
from anymal.protocol.file_part import FilePart, kind_of_file, refused_file
from anymal.protocol.media_url import ImageRef
from anymal.protocol.sizes import check_url
from anymal.protocol.strict import StrictPart
from anymal.protocol.without_effect import ANSWER_PARTS


class InputTextPart(StrictPart):
    """Words."""

    type: Literal["input_text"] = "input_text"
    text: str


class InputImagePart(StrictPart):
    """An image."""

    type: Literal["input_image"] = "input_image"
    image_url: ImageRef


class InputFilePart(StrictPart):
    """An image, a film, a sound or a motion recording as a file: `file_data` or `file_url`."""

    type: Literal["input_file"] = "input_file"
    file_data: str | None = Field(None, min_length=1, description="data: URL, or base64")
    file_url: str | None = Field(None, min_length=1, description="data: URL; of allowed hosts")
    filename: str | None = Field(None, description="such as clip.mp4")


class OutputTextPart(StrictPart):
    """Words of an answer that is sent back."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] | None = Field(None, description="not read")
    logprobs: list[Any] | None = Field(None, description="not read")


class RefusalPart(StrictPart):
    """Why an answer that is sent back was cut off."""

    type: Literal["refusal"] = "refusal"
    refusal: str = Field(description="not read")


_OwnPart = InputTextPart | InputImagePart | InputFilePart | OutputTextPart | RefusalPart
_SentPart = Annotated[
    _OwnPart | TextPart | MediaPart | PromptEmbedsPart | FilePart, Field(discriminator="type")
]


def chat_part(part: Any) -> Any:
    """A part as a message of a chat completion holds it; those of chat stay as they are.

    Args:
        part: As it came; it need not be valid.

    Returns:
        The part.

    Raises:
        PydanticCustomError: If it is a file that is not in the request.
    """
    if not isinstance(part, Mapping):
        return part
    kind, rest = part.get("type"), {key: part[key] for key in part if key != "type"}
    if kind in ("input_image", "input_file") and rest.pop("file_id", None) is not None:
        raise refused_file("no files are stored here, so file_id names none; send the file itself")
    if kind == "input_text":
        return {"type": "text", **rest}
    if kind in ANSWER_PARTS:
        text = "" if kind == "refusal" else rest.get("text")
        known = ("text", "refusal", "annotations", "logprobs")
        return {"type": "text", "text": text, **{k: rest[k] for k in rest if k not in known}}
    if kind == "input_image":
        return {"type": "image_url", **rest}
    if kind == "input_file":
        return _file(rest)
    return part


def _file(rest: dict[str, Any]) -> dict[str, Any]:
    """The part of the medium that an `input_file` part holds."""
    data, url, name = (rest.pop(key, None) for key in ("file_data", "file_url", "filename"))
    if (data is None) == (url is None):
        raise refused_file("give exactly one of file_data and file_url")
    if url is None or str(url)[:5].lower() == "data:":
        file = {"file_data": data or url, "filename": name}
        return {"type": "file", "file": file, **rest}
    if not isinstance(url, str) or not isinstance(name, str | None):
        raise refused_file("file_url and filename are text")
    check_url(url)
    try:
        found = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError:
        raise refused_file("file_url is no URL") from None
    kind = kind_of_file(name=name or found)
    return {"type": kind, kind: {"url": url}, **rest}


ResponsePart = Annotated[Part, BeforeValidator(chat_part, json_schema_input_type=_SentPart)]
