"""`POST /v1/ask`: a question and files as a form, for curl.

Does not answer by itself: the form becomes the request of a chat completion.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette import datastructures

from anymal.errors import AnymalError
from anymal.protocol.conversation import data_url
from anymal.protocol.explain import BodyProblem, explain
from anymal.protocol.input_imu import AccelerationUnit, RotationUnit
from anymal.protocol.requests import ChatCompletionRequest
from anymal.protocol.responses import ChatCompletionResponse
from server.answering.completions import complete
from server.errors import BadRequest, rule_for
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.openai import ERRORS, EVENTS
from server.routes.whole_form import WholeFormRoute

router = APIRouter(route_class=WholeFormRoute)

_TEXT = "text/plain"
# What the form and a chat completion have in common.
_OPTIONS = {
    *("model", "stream", "max_tokens", "seed", "stop"),
    *("temperature", "top_p", "min_p", "top_k"),
}


def _chosen(files: Any) -> Any:
    """The files of a field; a browser sends one without name and bytes where none was chosen."""
    for file in files:
        if not isinstance(file, datastructures.UploadFile):
            raise PydanticCustomError("file_missing", "send a file here, as in image=@scene.png")
    return [file for file in files if file.filename or file.size]


Files = Annotated[list[UploadFile], BeforeValidator(_chosen)]


class AskForm(BaseModel):
    """The fields of the form; files may be repeated."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(description="what to ask; it follows the files")
    image: Files = Field([], description="image files")
    video: Files = Field([], description="video files")
    audio: Files = Field([], description="sound files")
    imu: Files = Field([], description="motion recordings")
    imu_rate_hz: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="samples per second; for files without times"
    )
    acceleration_unit: AccelerationUnit | None = Field(None, description="m/s2 by default")
    rotation_unit: RotationUnit | None = Field(None, description="rad/s by default")
    system: str | None = Field(None, description="instructions that come before the question")
    model: str | None = Field(None, description="a served model's name; absent means the first")
    stream: bool = Field(False, description="answer as server-sent events")
    max_tokens: int | None = Field(None, ge=1, description="most tokens to generate")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0, the default, takes the likeliest token"
    )
    top_p: float | None = Field(None, ge=0, le=1, description="sample among this much probability")
    min_p: float | None = Field(
        None, ge=0, le=1, description="sample among tokens this likely beside the likeliest"
    )
    top_k: int | None = Field(None, ge=-1, description="sample among this many tokens")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="makes sampling repeatable")
    stop: list[str] = Field([], max_length=4, description="strings that end the answer")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        **EVENTS,
        "description": f"{EVENTS['description']}; only its text with 'Accept: {_TEXT}'",
        "content": {**EVENTS["content"], _TEXT: {"schema": {"type": "string"}}},
    },
    **ERRORS,
}


@router.post("/v1/ask", response_model=ChatCompletionResponse, responses=_RESPONSES)
async def ask(
    form: Annotated[AskForm, Form(media_type="multipart/form-data")],
    request: Request,
    worker: TheWorker,
    caller: TheCaller,
) -> Response:
    """Answer one question about any files."""
    is_text = request.headers.get("accept", "").partition(",")[0].strip() == _TEXT
    if is_text and form.stream:
        message = f"stream sends server-sent events; leave it out, or leave out 'Accept: {_TEXT}'"
        raise BadRequest(BodyProblem(message=message, param="stream", code="unsupported_parameter"))
    places = _places(form)
    try:
        async with request.app.state.reading.turn(caller.name):
            body = await anyio.to_thread.run_sync(_request_of, form)
        return await complete(
            body,
            request=request,
            worker=worker,
            caller=caller,
            form="text" if is_text else "json",
        )
    except AnymalError as error:
        place = error.place or rule_for(error).param
        error.place = places.get(place, place)
        raise


def _places(form: AskForm) -> dict[str | None, str]:
    """The form's own names for the places in the conversation that it becomes."""
    turn = f"messages.{int(form.system is not None)}"
    fields = {"image": form.image, "video": form.video, "audio": form.audio, "imu": form.imu}
    names = [f"{name}.{index}" for name, files in fields.items() for index in range(len(files))]
    places: dict[str | None, str] = {
        f"{turn}.content.{index}": name for index, name in enumerate(names)
    }
    return {"messages.0": "system", **places, turn: "question", "messages": "question"}


def _request_of(form: AskForm) -> ChatCompletionRequest:
    """The same as a chat completion asks it; reads files, so it belongs on a thread."""
    motion = {
        "rate_hz": form.imu_rate_hz,
        "acceleration_unit": form.acceleration_unit,
        "rotation_unit": form.rotation_unit,
    }
    content = [
        *_parts(form.image, "image_url"),
        *_parts(form.video, "video_url"),
        *_parts(form.audio, "audio_url"),
        *_parts(form.imu, "input_imu", motion),
        {"type": "text", "text": form.question},
    ]
    messages = [{"role": "user", "content": content}]
    if form.system is not None:
        messages.insert(0, {"role": "system", "content": form.system})
    body = {"messages": messages, **form.model_dump(include=_OPTIONS, exclude_none=True)}
    try:
        return ChatCompletionRequest.model_validate(body)
    except ValidationError as error:
        raise BadRequest(explain(error.errors(include_input=False), body)) from error


def _parts(
    files: Sequence[UploadFile], kind: str, options: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Files as the parts of a message."""
    return [
        {"type": kind, kind: {"url": _url(file.file.read(), file.filename), **(options or {})}}
        for file in files
    ]


def _url(data: bytes, name: str | None) -> str:
    """A file as a URL that keeps its name, which errors then tell."""
    return data_url(data, f"application/octet-stream;name={quote(name)}" if name else None)
