"""What a client writes into a request and reads out of a response.

Does not open connections: the ordinary and the async client share this, and only they do.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
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
from anymal.client.errors import ServerError, error_for
from anymal.errors import MediaUnsupported
from anymal.protocol.conversation import Message
from anymal.protocol.responses import (
    ChatCompletionResponse,
    ErrorBody,
    LikelihoodReply,
    ModelCard,
    ModelList,
)

Model = TypeVar("Model", bound=BaseModel)
Messages = Sequence[Message | Mapping[str, Any]]
OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all."""

REQUEST_ID = "x-request-id"
_PIECE_BYTES = 64 * 1024


class Sending(TypedDict, total=False):
    """Which model a request is for, and a callback for its upload."""

    model: str | None
    """Which of the served models answers; by default the service's first."""
    on_upload: OnUpload | None
    """Called with the bytes sent so far and the bytes in all, again from 0 at a new attempt."""


class ServiceOptions(AnswerOptions, Sending, total=False):
    """How a service draws an answer."""

    extra: Mapping[str, Any]
    """Further fields of the request, sent as they are."""


class ServiceAskOptions(Media, ServiceOptions, total=False):
    """Everything that may stand beside a question to a service."""


class AlignOptions(Media, Sending, total=False):
    """The options of `align`: a medium, and where to send it."""

    text: str
    """The words beside it, for models whose soft tokens depend on them."""


class LikelihoodOptions(Sending, total=False):
    """The options of `likelihood`."""

    include_end: bool
    """Count the token that ends an answer as part of each, as training does; the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, ready to be sent more than once.

    Attributes:
        method: HTTP method.
        path: Below the service's root.
        content: The body; empty where there is none.
        on_upload: Called as the body is sent.
        request_id: Identifies the request in logs; the same in every attempt.
    """

    method: str = "POST"
    path: str
    content: bytes = field(default=b"", repr=False)
    on_upload: OnUpload | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of this request, beside those of every request."""
        about = {REQUEST_ID: self.request_id}
        if self.method == "GET":
            return about
        return about | {
            # A proxy that stores answers by this key sends the same one to every attempt.
            "idempotency-key": self.request_id,
            "content-type": "application/json",
            "content-length": str(len(self.content)),
        }


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
    body = {"messages": plain(messages), **fields, **extra}
    return Call(path="v1/chat/completions", content=as_json(body), on_upload=on_upload)


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


def likelihood_call(messages: Messages, answers: Sequence[str], options: LikelihoodOptions) -> Call:
    """The request for the likelihoods of given answers; raises what `chat_call` does."""
    refuse_unknown(options, LikelihoodOptions)
    fields: dict[str, Any] = {key: item for key, item in options.items() if item is not None}
    on_upload = fields.pop("on_upload", None)
    body = {"messages": plain(messages), "answers": list(answers), **fields}
    return Call(path="v1/likelihood", content=as_json(body), on_upload=on_upload)


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
    body |= {key: rest[key] for key in ("model", "text") if rest.get(key) is not None}
    return Call(path="v1/align", content=as_json(body), on_upload=rest.get("on_upload"))


def get_call(path: str) -> Call:
    """A request that only looks."""
    return Call(method="GET", path=path)


def pieces(content: bytes, on_upload: OnUpload) -> Iterator[bytes]:
    """Cut a body up.

    Args:
        content: The body.
        on_upload: Called before the first piece and after each; what it raises ends the upload.

    Yields:
        The pieces.
    """
    on_upload(0, len(content))
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES]
        yield piece
        # httpx asks for the next piece once it has sent this one.
        on_upload(start + len(piece), len(content))


async def async_pieces(content: bytes, on_upload: OnUpload) -> AsyncIterator[bytes]:
    """Like `pieces`, for async code."""
    for piece in pieces(content, on_upload):
        yield piece


def parse(model: type[Model], text: str | bytes, request_id: str | None = None) -> Model:
    """Read a response's JSON.

    Raises:
        ServerError: If it has another shape; then no AnyMAL service sent it.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ServerError(
            f"the service did not answer with a {model.__name__}: {text[:200]!r}",
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


def read_likelihoods(response: httpx.Response) -> LikelihoodReply:
    """How likely the given answers are."""
    return parse(LikelihoodReply, response.content, response.headers.get(REQUEST_ID))


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


def asked_wait_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Read `Retry-After`, which is a number of seconds or a date.

    Args:
        headers: Of a response, found whatever their case.
        now: Seconds since 1970, for a date in a response without a date of its own.

    Returns:
        Seconds, 0 or more; None if the header is absent or unreadable.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _seconds_since_1970(text)
    if until is None:
        return None
    # By the service's own clock if it sends the time: ours may be wrong.
    sent = _seconds_since_1970(headers.get("date", ""))
    return max(0.0, until - (now() if sent is None else sent))


def _seconds_since_1970(text: str) -> float | None:
    """A date of HTTP."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else datetime.combine(date.date(), date.time(), UTC)).timestamp()


def plain(messages: Messages) -> list[dict[str, Any]]:
    """Messages as JSON has them."""
    return [item.model_dump(mode="json", exclude_none=True) for item in as_messages(messages)]


def as_json(body: Mapping[str, Any]) -> bytes:
    """Compact JSON; base64 takes no room for escapes."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()
