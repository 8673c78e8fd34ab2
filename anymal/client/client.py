"""The Python client of a running service, for ordinary and for async code.

Imports httpx and pydantic, never torch; numpy only where arrays come back.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, Unpack, overload

import httpx
from anyio.to_thread import run_sync

from anymal.client.answer import Answer, AnswerStream, AsyncAnswerStream, user_message
from anymal.client.attachments import Media
from anymal.client.connection import AsyncConnection, Connection
from anymal.client.errors import ClientError
from anymal.client.requests import (
    AlignOptions,
    LikelihoodOptions,
    Messages,
    ServiceAskOptions,
    ServiceOptions,
    align_call,
    ask_call,
    chat_call,
    get_call,
    likelihood_call,
    read_answer,
    read_likelihoods,
    read_models,
)
from anymal.client.retries import Backoff
from anymal.client.score import ScoreOptions, read_score, score_call
from anymal.client.soft_tokens import Aligned, read_aligned
from anymal.protocol.conversation import Message
from anymal.protocol.responses import LikelihoodReply, ModelCard, ScoreReply

_MODELS = "v1/models"
_READY = "readyz"
_BACKOFF = Backoff()


class Client:
    """Asks a service.

    Example:
        with Client(base_url="http://127.0.0.1:8000") as client:
            print(client.ask("What is the person doing?", imu="walk.csv", imu_rate_hz=50))
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | httpx.Timeout = 120.0,
        max_retries: int = 2,
        backoff: Backoff = _BACKOFF,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: The service; by default `ANYMAL_BASE_URL`, else http://127.0.0.1:8000.
            api_key: Its key, if it asks for one; by default `ANYMAL_API_KEY`.
            timeout: Seconds to wait for the next bytes, of which at most 10 for a connection; or
                an `httpx.Timeout`.
            max_retries: How often to retry a request that got no connection, or 408, 429, 502, 503
                or 504. A stream that has begun is not retried.
            backoff: How long to wait before a retry.
            transport: Carries the requests, for tests.
        """
        self._connection = Connection(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            backoff=backoff,
            transport=transport,
        )

    @overload
    def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[ServiceAskOptions]
    ) -> Answer: ...
    @overload
    def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[ServiceAskOptions]
    ) -> AnswerStream: ...
    def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[ServiceAskOptions]
    ) -> Answer | AnswerStream:
        """Ask one question about any media.

        Args:
            question: The question.
            stream: Return pieces of text as they arrive instead of the whole answer.
            **options: Media (`image`, `video`, `audio`, `imu`, each one or a list), their rates and
                units, how the answer is generated, `model`, `extra` and `on_upload`: see
                `anymal.client.attachments.Media`, `anymal.client.answer.AnswerOptions` and
                `anymal.client.requests.ServiceOptions`.

        Returns:
            The answer, or a stream of it.

        Raises:
            AnymalError: For media that cannot be sent, and `ClientError` for the rest.
        """
        call = ask_call(question, options, stream=stream)
        if stream:
            return AnswerStream(self._connection.stream(call))
        return read_answer(self._connection.send(call))

    def chat(self, messages: Messages, **options: Unpack[ServiceOptions]) -> Answer:
        """Answer a conversation, oldest turn first."""
        return read_answer(self._connection.send(chat_call(messages, options)))

    def stream(self, messages: Messages, **options: Unpack[ServiceOptions]) -> AnswerStream:
        """Answer a conversation piece by piece; the request is sent with the first piece."""
        return AnswerStream(self._connection.stream(chat_call(messages, options, stream=True)))

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=True, **media)

    def likelihood(
        self, messages: Messages, answers: Sequence[str], **options: Unpack[LikelihoodOptions]
    ) -> LikelihoodReply:
        """Tell how likely given answers to a conversation are.

        Args:
            messages: The conversation, oldest turn first; see `message`.
            answers: What the assistant might say next.
            **options: `include_end`, `model` and `on_upload`.

        Returns:
            For each answer, in its order, the sum and the mean of its tokens' log-probabilities,
            and its probability among the answers.

        Raises:
            AnymalError: For messages that cannot be sent, and `ClientError` for the rest.
        """
        call = likelihood_call(messages, answers, options)
        return read_likelihoods(self._connection.send(call))

    def score(self, messages: Messages, **options: Unpack[ScoreOptions]) -> ScoreReply:
        """Grade the answer that ends a conversation, by a reward model; `facts` may help it."""
        return read_score(self._connection.send(score_call(messages, options)))

    def align(self, **options: Unpack[AlignOptions]) -> Aligned:
        """Turn one medium into the soft tokens that the language model reads; needs numpy.

        Args:
            **options: One of `image`, `video`, `audio` and `imu` with its rate and units, `text`,
                `model` and `on_upload`.

        Returns:
            The soft tokens, `[Q, D_llm]`.

        Raises:
            AnymalError: For a medium that cannot be sent, and `ClientError` for the rest.
        """
        return read_aligned(self._connection.send(align_call(options)))

    def models(self) -> list[ModelCard]:
        """What the service serves, the default first."""
        return read_models(self._connection.send(get_call(_MODELS)))

    def is_ready(self) -> bool:
        """Whether the service has loaded its model and accepts requests; does not retry."""
        try:
            self._connection.send(get_call(_READY), is_repeatable=False)
        except ClientError as error:
            return _not_yet(error)
        return True

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

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
    """Like `Client`, for async code. Reads files on a thread, except in `message`."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | httpx.Timeout = 120.0,
        max_retries: int = 2,
        backoff: Backoff = _BACKOFF,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `Client`."""
        self._connection = AsyncConnection(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            max_retries=max_retries,
            backoff=backoff,
            transport=transport,
        )

    @overload
    async def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[ServiceAskOptions]
    ) -> Answer: ...
    @overload
    async def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[ServiceAskOptions]
    ) -> AsyncAnswerStream: ...
    async def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[ServiceAskOptions]
    ) -> Answer | AsyncAnswerStream:
        """Ask one question about any media; see `Client.ask`."""
        call = await run_sync(lambda: ask_call(question, options, stream=stream))
        if stream:
            return AsyncAnswerStream(self._connection.stream(call))
        return read_answer(await self._connection.send(call))

    async def chat(self, messages: Messages, **options: Unpack[ServiceOptions]) -> Answer:
        """Answer a conversation, oldest turn first."""
        call = await run_sync(lambda: chat_call(messages, options))
        return read_answer(await self._connection.send(call))

    def stream(self, messages: Messages, **options: Unpack[ServiceOptions]) -> AsyncAnswerStream:
        """Answer a conversation piece by piece; the request is sent with the first piece."""
        return AsyncAnswerStream(self._connection.stream(chat_call(messages, options, stream=True)))

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=True, **media)

    async def likelihood(
        self, messages: Messages, answers: Sequence[str], **options: Unpack[LikelihoodOptions]
    ) -> LikelihoodReply:
        """Tell how likely given answers are; see `Client.likelihood`."""
        call = await run_sync(lambda: likelihood_call(messages, answers, options))
        return read_likelihoods(await self._connection.send(call))

    async def score(self, messages: Messages, **options: Unpack[ScoreOptions]) -> ScoreReply:
        """Grade the answer that ends a conversation; see `Client.score`."""
        call = await run_sync(lambda: score_call(messages, options))
        return read_score(await self._connection.send(call))

    async def align(self, **options: Unpack[AlignOptions]) -> Aligned:
        """Turn one medium into soft tokens; see `Client.align`."""
        call = await run_sync(lambda: align_call(options))
        return read_aligned(await self._connection.send(call))

    async def models(self) -> list[ModelCard]:
        """What the service serves, the default first."""
        return read_models(await self._connection.send(get_call(_MODELS)))

    async def is_ready(self) -> bool:
        """Whether the service takes requests; see `Client.is_ready`."""
        try:
            await self._connection.send(get_call(_READY), is_repeatable=False)
        except ClientError as error:
            return _not_yet(error)
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _not_yet(error: ClientError) -> Literal[False]:
    """False for errors that go away with time; raises others, such as a wrong key or address."""
    if not error.is_transient:
        raise error
    return False
