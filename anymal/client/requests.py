"""What a client writes into a request and reads out of a response.

Does not open connections: the ordinary and the async client share this, and only they do.
"""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar, cast

import httpx
from pydantic import BaseModel, ValidationError

from anymal.client.answer import (
    Answer,
    AnswerOptions,
    as_messages,
    refuse_unknown,
    split_media,
    user_message,
)
from anymal.client.attachments import Media, attach
from anymal.client.backoff import asked_wait_s
from anymal.client.errors import ConnectionFailedError, ServerError, error_for
from anymal.client.upload import OnUpload
from anymal.errors import MediaUnsupported
from anymal.protocol.conversation import Message
from anymal.protocol.responses import ChatCompletionResponse, ErrorBody, ModelCard, ModelList

Model = TypeVar("Model", bound=BaseModel)
Messages = Sequence[Message | Mapping[str, Any]]

_LOCAL = "http://127.0.0.1:8000"
REQUEST_ID = "x-request-id"


class _Sending(TypedDict, total=False):
    """Where a request goes, and who watches."""

    model: str | None
    """Which of the served models answers; by default the service's first."""
    on_upload: OnUpload | None
    """Called with the bytes sent so far and the bytes in all, again from 0 at a new attempt."""


class ServiceOptions(AnswerOptions, _Sending, total=False):
    """How a service draws an answer."""

    extra: Mapping[str, Any]
    """Further fields of the request, sent as they are."""


class ServiceAskOptions(Media, ServiceOptions, total=False):
    """Everything that may stand beside a question to a service."""


class AlignOptions(Media, _Sending, total=False):
    """Everything that may be said about a medium whose soft tokens are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, ready to be sent more than once.

    Attributes:
        method: HTTP method.
        path: Below the service's root.
        content: The body; empty where there is none.
        on_upload: Watches the body go out.
        request_id: What logs call the request, the same in every attempt.
    """

    method: str = "POST"
    path: str
    content: bytes = field(default=b"", repr=False)
    on_upload: OnUpload | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def headers(self) -> dict[str, str]:
        """What is said about the request beside the client's own headers."""
        about = {REQUEST_ID: self.request_id}
        if self.method == "GET":
            return about
        return about | {
            # Whoever keeps answers by this key gives the same one to every attempt.
            "idempotency-key": self.request_id,
            "content-type": "application/json",
            "content-length": str(len(self.content)),
        }


def service_root(given: str | None) -> str:
    """The service's root, with or without the `/v1` that other clients want."""
    url = given or os.environ.get("ANYMAL_BASE_URL") or _LOCAL
    try:
        is_address = url.startswith(("http://", "https://")) and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        is_address = False
    if not is_address:
        raise ConnectionFailedError(
            f"base_url is {url!r}; give one such as {_LOCAL}, with http:// or https://"
        )
    return url.rstrip("/").removesuffix("/v1") + "/"


def key_headers(api_key: str | None) -> dict[str, str]:
    """The key, if there is one."""
    key = api_key or os.environ.get("ANYMAL_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def chat_call(messages: Messages, options: ServiceOptions, *, stream: bool = False) -> Call:
    """The request for an answer.

    Raises:
        ConversationError: If a message has the wrong shape.
        TypeError: If an option is not known.
    """
    refuse_unknown(options, ServiceOptions)
    fields: dict[str, Any] = {key: item for key, item in options.items() if item is not None}
    on_upload, extra = fields.pop("on_upload", None), fields.pop("extra", {})
    if "logprobs" in fields:
        fields |= {"logprobs": True, "top_logprobs": fields["logprobs"]}
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    plain = [item.model_dump(mode="json", exclude_none=True) for item in as_messages(messages)]
    body = {"messages": plain, **fields, **extra}
    return Call(path="v1/chat/completions", content=_json(body), on_upload=on_upload)


def ask_call(question: str, options: ServiceAskOptions, *, stream: bool) -> Call:
    """The request for an answer to one question about any media.

    Raises:
        AnymalError: If a medium, or what is said about it, cannot be sent.
        TypeError: If an option is not known.
    """
    refuse_unknown(options, ServiceAskOptions)
    media, rest = split_media(options)
    message = user_message(question, inline=True, **media)
    return chat_call([message], cast("ServiceOptions", rest), stream=stream)


def align_call(options: AlignOptions) -> Call:
    """The request for a medium's soft tokens.

    Raises:
        AnymalError: If there is not exactly one medium, or it cannot be sent.
        TypeError: If an option is not known.
    """
    refuse_unknown(options, AlignOptions)
    media, rest = split_media(options)
    parts = attach(inline=True, **media)
    if len(parts) != 1:
        raise MediaUnsupported("align", f"{len(parts)} media", "one image, video, audio or imu")
    body: dict[str, Any] = {"input": parts[0].model_dump(mode="json", exclude_none=True)}
    if (model := rest.get("model")) is not None:
        body["model"] = model
    return Call(path="v1/align", content=_json(body), on_upload=rest.get("on_upload"))


def get_call(path: str) -> Call:
    """A request that only looks."""
    return Call(method="GET", path=path)


def parse(model: type[Model], text: str | bytes, request_id: str | None = None) -> Model:
    """Read a response's JSON; what is no such thing comes from no AnyMAL service."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ServerError(
            f"the service answered with something else than a {model.__name__}: {text[:200]!r}",
            request_id=request_id,
        ) from error


def read_answer(response: httpx.Response) -> Answer:
    """The answer of a response that was not streamed; of several answers, the first."""
    request_id = response.headers.get(REQUEST_ID)
    whole = parse(ChatCompletionResponse, response.content, request_id)
    if not whole.choices:
        raise ServerError("the service sent no answer; ask again", request_id=request_id)
    choice = whole.choices[0]
    logprobs = None if choice.logprobs is None else choice.logprobs.content
    return Answer(
        text=choice.message.content,
        finish_reason=choice.finish_reason,
        usage=whole.usage,
        model=whole.model,
        logprobs=None if logprobs is None else tuple(logprobs),
        refusal=choice.message.refusal,
        request_id=request_id,
    )


def read_models(response: httpx.Response) -> list[ModelCard]:
    """What a service serves."""
    return parse(ModelList, response.content, response.headers.get(REQUEST_ID)).data


def raise_for_status(response: httpx.Response) -> None:
    """Raise the error that a response carries, if any; its body must have been read."""
    if response.is_success:
        return
    about: dict[str, Any] = {
        "status": response.status_code,
        "request_id": response.headers.get(REQUEST_ID),
        "retry_after_s": asked_wait_s(response.headers),
    }
    try:
        detail = ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        # A proxy in between answers with its own page.
        text = f"the service answered {response.status_code}: {response.text[:200]}"
        raise error_for(response.status_code)(text, **about) from None
    kind = error_for(response.status_code, detail.code)
    raise kind(detail.message, code=detail.code, param=detail.param, **about)


def _json(body: Mapping[str, Any]) -> bytes:
    """Compact JSON; base64 takes no room for escapes."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()
