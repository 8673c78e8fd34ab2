"""Question and answer, as the client and the in-process assistant share them.

Does not send or compute anything.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, Unpack

from anymal.attachments import Media, attach
from anymal.conversation import Message, read_conversation, validated
from anymal.engine.events import TokenCounts
from anymal.protocol import FinishReason, Usage


class AnswerOptions(TypedDict, total=False):
    """How the answer is drawn."""

    max_tokens: int | None
    """Most tokens to generate."""
    temperature: float
    """0 takes the likeliest token, and is the default."""
    top_p: float
    """Sample among the likeliest tokens that hold this much probability."""
    stop: str | Sequence[str] | None
    """Strings that end the answer and are not part of it."""
    seed: int | None
    """Makes sampling repeatable."""


class AskOptions(Media, AnswerOptions, total=False):
    """Everything that may stand beside a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer.

    Attributes:
        text: What the model said.
        finish_reason: `stop`, or `length` where the token limit cut it.
        usage: Token counts.
        model: Name of the model that answered.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str

    def __str__(self) -> str:
        return self.text

    @property
    def message(self) -> Message:
        """The answer as the next turn of the conversation."""
        return Message(role="assistant", content=self.text)


@dataclass(slots=True)
class AnswerStream:
    """Pieces of an answer's text as they arrive; `answer` is there once they ended.

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
        assert self._answer is not None, "the stream ended without an answer"
        return self._answer

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
        assert self._answer is not None, "the stream ended without an answer"
        return self._answer

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


def usage_of(counts: TokenCounts) -> Usage:
    """The engine's counts in the protocol's words."""
    return Usage(
        prompt_tokens=counts.prompt,
        completion_tokens=counts.completion,
        total_tokens=counts.prompt + counts.completion,
        prompt_tokens_details={
            "cached_tokens": 0,
            **{f"{kind}_tokens": number for kind, number in counts.by_kind.items()},
        },
    )


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
    known = Media.__annotations__.keys() | AnswerOptions.__annotations__.keys()
    if unknown := sorted(options.keys() - known):
        raise TypeError(f"unknown options {unknown}; known: {sorted(known)}")
    media = {key: value for key, value in options.items() if key in Media.__annotations__}
    rest = {key: value for key, value in options.items() if key not in media}
    return media, rest  # type: ignore[return-value]  # checked above, key by key
