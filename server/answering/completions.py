"""A question to a response: whole, as events, or as plain text.

Does not run the engine; the routes that answer questions share it.
"""

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from anymal.engine.events import Failed, Finished, Logprob, TextDelta, TokenCounts
from anymal.protocol.requests import ChatCompletionRequest
from anymal.protocol.responses import AnswerMessage, ChatCompletionResponse, Choice, FinishReason
from anymal.serving.shapes import finish_reason_of, logprobs_of, usage_of_all
from server.answering.answers import Piece, Withheld
from server.answering.disconnect import unless_disconnected
from server.answering.sse import ChunkWriter, EventStream, chunks
from server.answering.worker import Worker
from server.edge.keys import Caller
from server.errors import EmbedsNotAllowed


async def complete(
    body: ChatCompletionRequest,
    *,
    request: Request,
    worker: Worker,
    caller: Caller,
    form: Literal["json", "text"] = "json",
) -> Response:
    """Answer.

    Args:
        body: The request.
        request: Tells when the client disconnects; its body must have been read.
        worker: Answers the request.
        caller: Who asks.
        form: Of an answer that is not streamed: the whole response, or the first answer's text.

    Returns:
        The response.

    Raises:
        EmbedsNotAllowed: If the caller may not send soft tokens, and did.
        ClientGone: If the client went away before the response began.
        AnymalError: If the worker refuses the request.
    """
    if body.has_embeds and not caller.may_send_embeds:
        raise EmbedsNotAllowed(
            f"the caller {caller.name!r} may not send prompt_embeds; send the medium itself, or "
            "ask the operator for a key that may"
        )
    name = worker.models.find(body.model).name
    pieces = worker.answer(body.model_copy(update={"model": name}), caller)
    writer = ChunkWriter(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=name,
        has_logprobs=body.logprobs,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pieces.aclose)
        if not body.stream:
            whole = await unless_disconnected(request.receive, _collect(pieces, writer))
            if form == "text":
                return PlainTextResponse(whole.choices[0].message.content)
            return JSONResponse(whole.model_dump())
        # The first piece shows whether the prompt was accepted, while the status can still change.
        first = await unless_disconnected(request.receive, anext(pieces))
        if isinstance(first.event, Failed):
            raise first.event.error
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        content = chunks(
            _after(first, pieces), writer, num_answers=body.n, include_usage=include_usage
        )
        stack.pop_all()  # the response closes the pieces from here on
        return EventStream(content, pieces)


async def _after(first: Piece, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    """All pieces, the first of which was taken out already."""
    yield first
    async for piece in pieces:
        yield piece


@dataclass(slots=True)
class _Growing:
    """One answer while its pieces come."""

    texts: list[str] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    reason: FinishReason | None = None
    refusal: str | None = None

    def choice(self, index: int, *, has_logprobs: bool) -> Choice:
        """The answer, once it has ended."""
        assert self.reason is not None, f"answer {index} never ended"
        return Choice(
            index=index,
            message=AnswerMessage(content="".join(self.texts), refusal=self.refusal),
            finish_reason=self.reason,
            logprobs=logprobs_of(self.logprobs) if has_logprobs else None,
        )


async def _collect(pieces: AsyncIterator[Piece], writer: ChunkWriter) -> ChatCompletionResponse:
    """The whole response."""
    growing: dict[int, _Growing] = {}
    counts: dict[int, TokenCounts] = {}  # of each answer
    async for piece in pieces:
        own = growing.setdefault(piece.index, _Growing())
        match piece.event:
            case TextDelta(text=text, logprobs=logprobs):
                own.texts.append(text)
                own.logprobs += logprobs
            case Finished(reason=reason, logprobs=logprobs):
                own.reason = finish_reason_of(reason)
                counts[piece.index] = piece.event.counts
                own.logprobs += logprobs
            case Withheld(message=message):
                own.reason, own.refusal = "content_filter", message
                counts[piece.index] = piece.event.counts
            case Failed(error=error):
                raise error
    return ChatCompletionResponse(
        id=writer.id,
        created=writer.created,
        model=writer.model,
        choices=[
            own.choice(index, has_logprobs=writer.has_logprobs)
            for index, own in sorted(growing.items())
        ],
        usage=usage_of_all(counts),
    )
