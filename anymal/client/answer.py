"""Questions and answers, shared by the client and the in-process assistant.

Does not send or compute anything.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, Unpack, cast

from anymal.client.attachments import Media, attach
from anymal.errors import AnymalError
from anymal.protocol.conversation import Message, read_conversation, validated
from anymal.protocol.responses import FinishReason, TokenLogprob, Usage


class AnswerOptions(TypedDict, total=False):
    """How the answer is generated."""

    max_tokens: int | None
    """Most tokens to generate."""
    temperature: float
    """0 takes the likeliest token, and is the default."""
    top_p: float
    """Sample among the likeliest tokens that hold this much probability."""
    min_p: float
    """Sample among tokens at least this likely, as a share of the likeliest one's probability."""
    top_k: int
    """Sample among this many of the likeliest tokens; 0 among all."""
    repetition_penalty: float
    """Above 1 makes tokens of the prompt and the answer less likely."""
    presence_penalty: float
    """Taken once off the score of every token that the answer holds already."""
    frequency_penalty: float
    """Taken off it as often as the answer holds the token."""
    stop: str | Sequence[str] | None
    """Strings that end the answer and are not part of it."""
    ignore_eos: bool
    """Continue to `max_tokens`, past the token that ends an answer."""
    stop_repetition: bool
    """End an answer that says the same 8 or more tokens three times in a row."""
    logprobs: int | None
    """Return the log-probability of each token and of this many alternatives, 0 to 20."""
    seed: int | None
    """Makes sampling repeatable."""


class AskOptions(Media, AnswerOptions, total=False):
    """All options of a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer.

    Attributes:
        text: What the model said.
        finish_reason: `stop`, `length` where the token limit cut it, or `content_filter` where a
            check did.
        usage: Token counts.
        model: Name of the model that answered.
        logprobs: How likely each token was, if asked for.
        refusal: Why a check cut the answer, if one did.
        request_id: The request's id in the service's log; None in this process.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    refusal: str | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def message(self) -> Message:
        """The answer as the next turn of the conversation."""
        return Message(role="assistant", content=self.text)


@dataclass(slots=True)
class AnswerStream:
    """Pieces of an answer's text as they arrive; then `answer` is the whole.

    Leave it early with `close`, or use it as a context manager.
    """

    _source: Iterator[str | Answer]
    _answer: Answer | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next piece of text."""
        item = next(self._source)
        if isinstance(item, Answer):
            self._answer = item
            self.close()
            raise StopIteration
        return item

    @property
    def answer(self) -> Answer:
        """The whole answer; reads what has not been read."""
        for _ in self:
            pass
        return _whole(self._answer)

    def close(self) -> None:
        """End the stream, and the work behind it."""
        if close := getattr(self._source, "close", None):
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(slots=True)
class AsyncAnswerStream:
    """Like `AnswerStream`, for `async for` and `async with`."""

    _source: AsyncIterator[str | Answer]
    _answer: Answer | None = field(default=None, init=False)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        """The next piece of text."""
        item = await anext(self._source)
        if isinstance(item, Answer):
            self._answer = item
            await self.close()
            raise StopAsyncIteration
        return item

    async def answer(self) -> Answer:
        """The whole answer; reads what has not been read."""
        async for _ in self:
            pass
        return _whole(self._answer)

    async def close(self) -> None:
        """End the stream, and the work behind it."""
        if close := getattr(self._source, "aclose", None):
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _whole(answer: Answer | None) -> Answer:
    """The answer of a stream that has ended."""
    if answer is None:
        raise AnymalError("the stream was closed before the answer ended; ask again and read on")
    return answer


class Asker(Protocol):
    """What `Client` and `Assistant` have in common; the command line uses no more."""

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn: the media, then the question."""
        ...

    def stream(
        self, messages: Sequence[Message | Mapping[str, Any]], **options: Unpack[AnswerOptions]
    ) -> AnswerStream:
        """Answer a conversation piece by piece."""
        ...


def user_message(question: str, *, inline: bool, **media: Unpack[Media]) -> Message:
    """A user's turn: the media, then the question.

    Raises:
        AnymalError: If a medium, or what is said about it, cannot be sent.
    """
    content = [*attach(inline=inline, **media), {"type": "text", "text": question}]
    return validated(Message, {"role": "user", "content": content})


def as_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    """Turns given as models or as mappings.

    Raises:
        ConversationError: If one has the wrong shape.
    """
    plain = [item.model_dump() if isinstance(item, Message) else item for item in messages]
    return read_conversation({"messages": plain}).messages


def split(options: AskOptions) -> tuple[Media, AnswerOptions]:
    """The options of a question: those about media, and the others.

    Raises:
        TypeError: If one is not known.
    """
    refuse_unknown(options, AskOptions)
    media, rest = split_media(options)
    return media, cast("AnswerOptions", rest)


def split_media(options: Mapping[str, Any]) -> tuple[Media, dict[str, Any]]:
    """Options about media, and the others."""
    media = {key: value for key, value in options.items() if key in Media.__annotations__}
    rest = {key: value for key, value in options.items() if key not in media}
    return cast("Media", media), rest


def refuse_unknown(options: Mapping[str, Any], known: type) -> None:
    """Refuse options that would be ignored.

    Args:
        options: What was given.
        known: The typed dictionary of the allowed options.

    Raises:
        TypeError: If one is not known.
    """
    if unknown := sorted(options.keys() - known.__annotations__.keys()):
        raise TypeError(f"unknown options {unknown}; known: {sorted(known.__annotations__)}")
