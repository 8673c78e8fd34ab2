"""The Python client of a running service, for ordinary and for async code.

Imports httpx and pydantic, never torch. Does not retry: a request may be costly, so the caller
decides.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

import httpx

from anymal.asking import (
    Answer,
    AnswerOptions,
    AnswerStream,
    AskOptions,
    AsyncAnswerStream,
    split,
    user_message,
)
from anymal.attachments import Media
from anymal.exchange import (
    StreamReader,
    connection_errors,
    headers,
    parse,
    raise_for_status,
    read_answer,
    request_body,
    service_root,
)
from anymal.protocol import Message, ModelCard, ModelList

Messages = Sequence[Message | Mapping[str, Any]]

_CHAT = "v1/chat/completions"
_MODELS = "v1/models"


class Client:
    """Asks a service.

    Example:
        with Client("http://127.0.0.1:8000") as client:
            print(client.ask("What is the person doing?", imu="walk.csv", imu_rate_hz=50))
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: The service; by default `ANYMAL_BASE_URL`, else http://127.0.0.1:8000.
            api_key: Its key, if it asks for one; by default `ANYMAL_API_KEY`.
            timeout: Seconds to wait for the next bytes.
            transport: What carries the requests, for tests.
        """
        self._http = httpx.Client(
            base_url=service_root(base_url),
            headers=headers(api_key),
            timeout=timeout,
            transport=transport,
        )

    @overload
    def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[AskOptions]
    ) -> Answer: ...
    @overload
    def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[AskOptions]
    ) -> AnswerStream: ...
    def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[AskOptions]
    ) -> Answer | AnswerStream:
        """Ask one question about any media.

        Args:
            question: The question.
            stream: Return pieces of text as they arrive instead of the whole answer.
            **options: `image`, `video`, `audio`, `imu` (each one or a list), `audio_rate_hz`,
                `imu_rate_hz`, `acceleration_unit`, `rotation_unit`, and `max_tokens`,
                `temperature`, `top_p`, `stop`, `seed`: see `AskOptions`.

        Returns:
            The answer, or a stream of it.

        Raises:
            AnymalError: For media that cannot be sent, and `ClientError` for the rest.
        """
        media, rest = split(options)
        messages = [self.message(question, **media)]
        return self.stream(messages, **rest) if stream else self.chat(messages, **rest)

    def chat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """Answer a conversation, oldest turn first."""
        with connection_errors(self._http.base_url):
            response = self._http.post(_CHAT, json=request_body(messages, options))
        return read_answer(response)

    def stream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AnswerStream:
        """Answer a conversation piece by piece; the request is sent with the first piece."""
        return AnswerStream(self._stream(request_body(messages, options, stream=True)))

    def _stream(self, body: dict[str, Any]) -> Iterator[str | Answer]:
        reader = StreamReader()
        with (
            connection_errors(self._http.base_url),
            self._http.stream("POST", _CHAT, json=body) as response,
        ):
            if not response.is_success:
                response.read()
            raise_for_status(response)
            for fragment in response.iter_bytes():
                yield from reader.push(fragment)
        yield reader.answer()

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=True, **media)

    def models(self) -> list[ModelCard]:
        """What the service serves."""
        with connection_errors(self._http.base_url):
            response = self._http.get(_MODELS)
        raise_for_status(response)
        return parse(ModelList, response.content).data

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """Like `Client`, for async code."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `Client`."""
        self._http = httpx.AsyncClient(
            base_url=service_root(base_url),
            headers=headers(api_key),
            timeout=timeout,
            transport=transport,
        )

    @overload
    async def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[AskOptions]
    ) -> Answer: ...
    @overload
    async def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[AskOptions]
    ) -> AsyncAnswerStream: ...
    async def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[AskOptions]
    ) -> Answer | AsyncAnswerStream:
        """Ask one question about any media; see `Client.ask`."""
        media, rest = split(options)
        messages = [self.message(question, **media)]
        return self.stream(messages, **rest) if stream else await self.chat(messages, **rest)

    async def chat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """Answer a conversation, oldest turn first."""
        with connection_errors(self._http.base_url):
            response = await self._http.post(_CHAT, json=request_body(messages, options))
        return read_answer(response)

    def stream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AsyncAnswerStream:
        """Answer a conversation piece by piece; the request is sent with the first piece."""
        return AsyncAnswerStream(self._stream(request_body(messages, options, stream=True)))

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[str | Answer]:
        reader = StreamReader()
        with connection_errors(self._http.base_url):
            async with self._http.stream("POST", _CHAT, json=body) as response:
                if not response.is_success:
                    await response.aread()
                raise_for_status(response)
                async for fragment in response.aiter_bytes():
                    for piece in reader.push(fragment):
                        yield piece
        yield reader.answer()

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=True, **media)

    async def models(self) -> list[ModelCard]:
        """What the service serves."""
        with connection_errors(self._http.base_url):
            response = await self._http.get(_MODELS)
        raise_for_status(response)
        return parse(ModelList, response.content).data

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
