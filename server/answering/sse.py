"""Pieces of answers to server-sent events, such as the chunks of chat completions.

Does not run the engine; it is given pieces and closes their source at the end.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from anymal.engine.events import Failed, Finished, TextDelta, TokenCounts
from anymal.errors import AnymalError
from anymal.protocol.responses import (
    ChatCompletionChunk,
    ChoiceLogprobs,
    ChunkChoice,
    Delta,
    FinishReason,
    Usage,
)
from anymal.serving.shapes import finish_reason_of, logprobs_of, usage_of_all
from server.answering.answers import Piece, Withheld
from server.errors import body_for

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Writes the events of one response."""

    def begin(self) -> Iterator[bytes]:
        """The first events."""
        ...

    def piece(self, piece: Piece) -> Iterator[bytes]:
        """The events of a piece that is no failure."""
        ...

    def end(self) -> Iterator[bytes]:
        """The last events, once all pieces have come."""
        ...

    def failure(self, error: Exception) -> bytes:
        """The last event of a response that failed."""
        ...


@dataclass(slots=True, kw_only=True)
class ChunkWriter:
    """Writes the chunks of one chat completion; see `Writer`.

    Attributes:
        id: The response's.
        created: When it began, in seconds since 1970.
        model: What answers.
        has_logprobs: Whether chunks carry how likely their tokens were.
        num_answers: How many answers it has.
        has_usage: Whether a last chunk carries the token counts.
        counts: Token counts of the answers that have ended, by index.
    """

    id: str
    created: int
    model: str
    has_logprobs: bool = False
    num_answers: int = 1
    has_usage: bool = False
    counts: dict[int, TokenCounts] = field(default_factory=dict)

    def begin(self) -> Iterator[bytes]:
        """The first chunk of each answer."""
        for index in range(self.num_answers):
            yield self._choice(index, Delta(role="assistant", content=""))

    def piece(self, piece: Piece) -> Iterator[bytes]:
        """The chunks of a piece."""
        match piece.event:
            case TextDelta(text=text, logprobs=found):
                logprobs = logprobs_of(found) if self.has_logprobs else None
                yield self._choice(piece.index, Delta(content=text), logprobs=logprobs)
            case Finished(reason=reason, counts=counts, logprobs=found):
                self.counts[piece.index] = counts
                # Tokens whose text never came out, such as those of a stop string.
                logprobs = logprobs_of(found) if self.has_logprobs and found else None
                yield self._choice(piece.index, Delta(), finish_reason_of(reason), logprobs)
            case Withheld(message=message, counts=counts):
                self.counts[piece.index] = counts
                yield self._choice(piece.index, Delta(refusal=message))
                yield self._choice(piece.index, Delta(), "content_filter")

    def end(self) -> Iterator[bytes]:
        """The token counts of all answers, if asked for, and the mark of the end."""
        if self.has_usage:
            yield self._frame([], usage_of_all(self.counts))
        yield frame("[DONE]")

    def failure(self, error: Exception) -> bytes:
        """An `error` event with the body of an error response."""
        return frame(body_for(error).model_dump_json(), event="error")

    def _choice(
        self,
        index: int,
        delta: Delta,
        finish_reason: FinishReason | None = None,
        logprobs: ChoiceLogprobs | None = None,
    ) -> bytes:
        choice = ChunkChoice(
            index=index, delta=delta, finish_reason=finish_reason, logprobs=logprobs
        )
        return self._frame([choice], None)

    def _frame(self, choices: list[ChunkChoice], usage: Usage | None) -> bytes:
        chunk = ChatCompletionChunk(
            id=self.id, created=self.created, model=self.model, choices=choices, usage=usage
        )
        return frame(chunk.model_dump_json())


def frame(data: str, event: str | None = None) -> bytes:
    """One server-sent event; `data` holds no line break, as JSON does not."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {data}\n\n".encode()


async def events(pieces: AsyncIterator[Piece], writer: Writer) -> AsyncGenerator[bytes]:
    """Write answers as they grow.

    A failure after the first byte cannot change the status any more: it goes as an event, and ends
    the stream.
    """
    for event in writer.begin():
        yield event
    try:
        async for piece in pieces:
            if isinstance(piece.event, Failed):
                yield writer.failure(piece.event.error)
                return
            for event in writer.piece(piece):
                yield event
    except Exception as error:  # the stream's edge: the status is out already
        if not isinstance(error, AnymalError):
            logger.exception("a stream failed")
        yield writer.failure(error)
        return
    for event in writer.end():
        yield event


class EventStream(StreamingResponse):
    """A stream that closes its source, however it ends.

    Starlette cancels the sending of a response when its client hangs up; a generator that waits
    at its `yield` just then would otherwise be closed only when it is collected.
    """

    def __init__(self, content: AsyncGenerator[bytes], source: AsyncGenerator[Piece]) -> None:
        super().__init__(
            content,
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )
        self._generators = (content, source)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            for generator in self._generators:
                await generator.aclose()
