"""Events of the engine to server-sent events of the OpenAI shape.

Does not run the engine; it is given events and closes their source at the end.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from anymal.asking import usage_of
from anymal.engine.events import Event, Failed, Finished, TextDelta
from anymal.protocol import ChatCompletionChunk, ChunkChoice, Delta, FinishReason, Usage
from server.errors import body_for


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkWriter:
    """Writes the chunks of one answer."""

    id: str
    created: int
    model: str

    def delta(self, delta: Delta, finish_reason: FinishReason | None = None) -> bytes:
        """A piece of the answer."""
        return self._frame([ChunkChoice(delta=delta, finish_reason=finish_reason)], None)

    def usage(self, usage: Usage) -> bytes:
        """The token counts."""
        return self._frame([], usage)

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
    events: AsyncIterator[Event], writer: ChunkWriter, *, include_usage: bool
) -> AsyncGenerator[bytes]:
    """Write an answer as it grows.

    A failure after the first byte cannot change the status any more: it goes as an `error` event,
    with the same body, and ends the stream.
    """
    yield writer.delta(Delta(role="assistant", content=""))
    async for event in events:
        match event:
            case TextDelta(text=text):
                yield writer.delta(Delta(content=text))
            case Finished(reason=reason, counts=counts):
                yield writer.delta(Delta(), reason)
                if include_usage:
                    yield writer.usage(usage_of(counts))
                yield frame("[DONE]")
            case Failed(error=error):
                yield frame(body_for(error).model_dump_json(), event="error")


class EventStream(StreamingResponse):
    """A stream that closes its source, however it ends.

    Starlette cancels the sending of a response when its client hangs up; a generator that waits
    at its `yield` just then would otherwise be closed only when it is collected.
    """

    def __init__(self, content: AsyncGenerator[bytes], source: AsyncGenerator[Event]) -> None:
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
