"""What a client writes into a request and reads out of a response.

Does not open connections: the ordinary and the async client share this, and only they do.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from anymal.asking import Answer, AnswerOptions, as_messages
from anymal.client_errors import (
    ConnectionFailedError,
    ServerError,
    TimedOutError,
    error_for_status,
)
from anymal.event_stream import EventDecoder, ServerEvent
from anymal.protocol import (
    ChatCompletionChunk,
    ChatCompletionResponse,
    ErrorBody,
    FinishReason,
    Message,
    Usage,
)

Model = TypeVar("Model", bound=BaseModel)

_LOCAL = "http://127.0.0.1:8000"


def service_root(given: str | None) -> str:
    """The service's root, with or without the `/v1` that other clients want."""
    url = given or os.environ.get("ANYMAL_BASE_URL") or _LOCAL
    if not url.startswith(("http://", "https://")):
        raise ConnectionFailedError(f"base_url is {url!r}; it must start with http:// or https://")
    return url.rstrip("/").removesuffix("/v1") + "/"


def headers(api_key: str | None) -> dict[str, str]:
    """The key, if there is one."""
    key = api_key or os.environ.get("ANYMAL_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def request_body(
    messages: Sequence[Message | Mapping[str, Any]],
    options: AnswerOptions,
    *,
    stream: bool = False,
) -> dict[str, Any]:
    """The body of a request for an answer."""
    body: dict[str, Any] = {
        "messages": [
            message.model_dump(mode="json", exclude_none=True) for message in as_messages(messages)
        ],
        **{key: value for key, value in options.items() if value is not None},
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def parse(model: type[Model], text: str | bytes) -> Model:
    """Read a response's JSON; what is no such thing comes from no AnyMAL service."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ServerError(
            f"the service answered with something else than a {model.__name__}: {text[:200]!r}"
        ) from error


def read_answer(response: httpx.Response) -> Answer:
    """The answer of a response that was not streamed."""
    raise_for_status(response)
    whole = parse(ChatCompletionResponse, response.content)
    return Answer(
        text=whole.choices[0].message.content,
        finish_reason=whole.choices[0].finish_reason,
        usage=whole.usage,
        model=whole.model,
    )


def raise_for_status(response: httpx.Response) -> None:
    """Raise the error that a response carries, if any; its body must have been read."""
    if response.is_success:
        return
    request_id = response.headers.get("x-request-id")
    kind = error_for_status(response.status_code)
    try:
        detail = ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        # A proxy in between answers with its own page.
        text = f"the service answered {response.status_code}: {response.text[:200]}"
        raise kind(text, status=response.status_code, request_id=request_id) from None
    raise kind(
        detail.message,
        status=response.status_code,
        code=detail.code,
        param=detail.param,
        request_id=request_id,
    )


@contextmanager
def connection_errors(url: httpx.URL) -> Iterator[None]:
    """Tell httpx's own errors as ours."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise TimedOutError(f"{url} did not answer in time; raise the client's timeout") from error
    except httpx.HTTPError as error:
        raise ConnectionFailedError(
            f"no answer from {url} ({error}); is the service running? `anymal serve` starts one"
        ) from error


class StreamReader:
    """Puts a streamed answer together."""

    def __init__(self) -> None:
        self._decoder = EventDecoder()
        self._pieces: list[str] = []
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._model = ""

    def push(self, fragment: bytes) -> Iterator[str]:
        """Add bytes; yields the pieces of text in them."""
        for event in self._decoder.push(fragment):
            if event.data == "[DONE]":
                continue
            _raise_for_event(event)
            yield from self._read(parse(ChatCompletionChunk, event.data))

    def answer(self) -> Answer:
        """The whole answer, once the stream ended."""
        if self._reason is None or self._usage is None:
            raise ServerError("the stream broke off before the answer ended; ask again")
        return Answer(
            text="".join(self._pieces),
            finish_reason=self._reason,
            usage=self._usage,
            model=self._model,
        )

    def _read(self, chunk: ChatCompletionChunk) -> Iterator[str]:
        self._model = chunk.model
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            self._reason = choice.finish_reason or self._reason
            if choice.delta.content:
                self._pieces.append(choice.delta.content)
                yield choice.delta.content


def _raise_for_event(event: ServerEvent) -> None:
    """An error after the first byte comes as an event."""
    if event.name != "error":
        return
    detail = parse(ErrorBody, event.data).error
    raise ServerError(detail.message, code=detail.code, param=detail.param)
