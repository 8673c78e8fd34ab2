"""The paths of the service.

Does not know tensors: a route reads a request, hands it to the worker and shapes what comes back.
"""

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from anymal.asking import usage_of
from anymal.engine.events import Event, Failed, Finished, TextDelta
from anymal.protocol import (
    AnswerMessage,
    ChatCompletionRequest,
    ChatCompletionResponse,
    Choice,
    ErrorBody,
    ModelCard,
    ModelList,
)
from server.disconnect import unless_disconnected
from server.errors import ModelNotFound
from server.sse import ChunkWriter, EventStream, chunks
from server.worker import Worker

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 404, 413, 429, 500, 503)
}

router = APIRouter()


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


TheWorker = Annotated[Worker, Depends(_worker)]


@router.post("/v1/chat/completions", response_model=ChatCompletionResponse, responses=_ERRORS)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, worker: TheWorker
) -> Response:
    """Answer a conversation, whole or as server-sent events."""
    events = worker.answer(body)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(events.aclose)
        # The first event tells whether the prompt was accepted, while the status is still open.
        first = await unless_disconnected(request.receive, anext(events))
        if isinstance(first, Failed):
            raise first.error
        writer = ChunkWriter(
            id=f"chatcmpl-{uuid.uuid4().hex}", created=int(time.time()), model=worker.backend.name
        )
        if not body.stream:
            work = _collect(_after(first, events), writer)
            whole = await unless_disconnected(request.receive, work)
            return JSONResponse(whole.model_dump())
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        content = chunks(_after(first, events), writer, include_usage=include_usage)
        stack.pop_all()  # the response closes the events from here on
        return EventStream(content, events)


async def _after(first: Event, events: AsyncIterator[Event]) -> AsyncGenerator[Event]:
    """All events, the first of which was taken out already."""
    yield first
    async for event in events:
        yield event


async def _collect(events: AsyncIterator[Event], writer: ChunkWriter) -> ChatCompletionResponse:
    """The whole answer."""
    pieces: list[str] = []
    async for event in events:
        match event:
            case TextDelta(text=text):
                pieces.append(text)
            case Failed(error=error):
                raise error
            case Finished(reason=reason, counts=counts):
                message = AnswerMessage(content="".join(pieces))
                return ChatCompletionResponse(
                    id=writer.id,
                    created=writer.created,
                    model=writer.model,
                    choices=[Choice(message=message, finish_reason=reason)],
                    usage=usage_of(counts),
                )
    raise AssertionError("the engine's events ended without Finished or Failed")


@router.get("/v1/models", responses=_ERRORS)
async def list_models(worker: TheWorker) -> ModelList:
    """The one model that is served."""
    return ModelList(data=[_card(worker)])


@router.get("/v1/models/{model}", responses=_ERRORS)
async def retrieve_model(model: str, worker: TheWorker) -> ModelCard:
    """One model by name."""
    card = _card(worker)
    if model != card.id:
        raise ModelNotFound(f"model {model!r} is not served here; served: {card.id!r}")
    return card


def _card(worker: Worker) -> ModelCard:
    backend = worker.backend
    return ModelCard(id=backend.name, created=backend.created, modalities=list(backend.modalities))


@router.get("/healthz")
async def health() -> dict[str, str]:
    """200 while the process lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ErrorBody}})
async def readiness(worker: TheWorker) -> dict[str, str]:
    """200 once the model is loaded, 503 before."""
    return {"status": "ready", "model": worker.backend.name}
