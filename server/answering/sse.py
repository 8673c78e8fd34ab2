"""Pieces of answers to server-sent events of the OpenAI shape.

Does not run the engine; it is given pieces and closes their source at the end.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field

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


@dataclass(slots=True, kw_only=True)
class ChunkWriter:
    """Writes the chunks of one response.

    Attributes:
        id: The response's.
        created: When it began, in seconds since 1970.
        model: What answers.
        has_logprobs: Whether chunks carry how likely their tokens were.
        counts: Token counts of the answers that have ended, by index.
    """

    id: str
    created: int
    model: str
    has_logprobs: bool = False
    counts: dict[int, TokenCounts] = field(default_factory=dict)

    def begin(self, index: int) -> bytes:
        """The first chunk of an answer."""
        return self._choice(index, Delta(role="assistant", content=""))

    def piece(self, piece: Piece) -> Iterator[bytes]:
        """The chunks of a piece that is no failure."""
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

    def usage(self) -> bytes:
        """The token counts of all answers."""
        return self._frame([], usage_of_all(self.counts))

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


async def chunks(
    pieces: AsyncIterator[Piece], writer: ChunkWriter, *, num_answers: int, include_usage: bool
) -> AsyncGenerator[bytes]:
    """Write answers as they grow.

    A failure after the first byte cannot change the status any more: it goes as an `error` event,
    with the same body, and ends the stream.
    """
    for index in range(num_answers):
        yield writer.begin(index)
    try:
        async for piece in pieces:
            if isinstance(piece.event, Failed):
                yield _error(piece.event.error)
                return
            for chunk in writer.piece(piece):
                yield chunk
    except Exception as error:  # the stream's edge: the status is out already
        if not isinstance(error, AnymalError):
            logger.exception("a stream failed")
        yield _error(error)
        return
    if include_usage:
        yield writer.usage()
    yield frame("[DONE]")


def _error(error: Exception) -> bytes:
    return frame(body_for(error).model_dump_json(), event="error")


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
