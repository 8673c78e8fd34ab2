"""Answers in the shape of chat completions: whole, as chunks, or as plain text.

Does not run the engine; the routes that answer questions share it.
"""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from anymal.engine.events import Failed, Finished, Logprob, TextDelta, TokenCounts
from anymal.protocol.requests import ChatCompletionRequest
from anymal.protocol.responses import AnswerMessage, ChatCompletionResponse, Choice, FinishReason
from anymal.serving.shapes import finish_reason_of, logprobs_of, usage_of_all
from server.answering.answers import Piece, Withheld
from server.answering.respond import Shape, respond
from server.answering.sse import ChunkWriter
from server.answering.worker import Worker
from server.edge.keys import Caller


async def complete(
    body: ChatCompletionRequest,
    *,
    request: Request,
    worker: Worker,
    caller: Caller,
    form: Literal["json", "text"] = "json",
) -> Response:
    """Answer with a chat completion.

    Args:
        body: The request.
        request: Tells when the client disconnects; its body must have been read.
        worker: Answers the request.
        caller: Who asks.
        form: Of an answer that is not streamed: the whole response, or the first answer's text.

    Returns:
        The response.

    Raises:
        Exception: As `respond` does.
    """
    options = body.stream_options

    def shape(model: str) -> Shape:
        return _ChatShape(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model,
            has_logprobs=body.logprobs,
            num_answers=body.n,
            has_usage=options is not None and options.include_usage,
            form=form,
        )

    return await respond(body, request=request, worker=worker, caller=caller, shape_of=shape)


@dataclass(slots=True, kw_only=True)
class _ChatShape(ChunkWriter):
    """A chat completion, or the first answer's text alone."""

    form: Literal["json", "text"]

    async def whole(self, pieces: AsyncIterator[Piece]) -> Response:
        """See `Shape`."""
        whole = await _collect(pieces, self)
        if self.form == "text":
            return PlainTextResponse(whole.choices[0].message.content)
        return JSONResponse(whole.model_dump())


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
