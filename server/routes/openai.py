"""The paths of OpenAI's API.

Does not know tensors: a route reads a request, passes it to the worker and shapes the response.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from anymal.protocol.requests import ChatCompletionRequest
from anymal.protocol.responses import ChatCompletionResponse, ErrorBody, ModelCard, ModelList
from server.answering.completions import complete
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.ignored import name_ignored, refuse_if_strict
from server.routes.json_body import JsonRoute
from server.served.models import Backend

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody}
    for status in (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)
}
EVENTS: dict[str, Any] = {
    "model": ChatCompletionResponse,
    "description": "the answer, or with stream = true its chunks as server-sent events",
    "content": {
        "text/event-stream": {
            # No type: a stream is read as text by some tools and event by event by others.
            "schema": {"description": "each event's data is a chat.completion.chunk, or [DONE]"},
            "example": 'data: {"object": "chat.completion.chunk", "choices": ...}',
        }
    },
}

router = APIRouter(route_class=JsonRoute)


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletionResponse,
    responses={200: EVENTS, **ERRORS},
)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, worker: TheWorker, caller: TheCaller
) -> Response:
    """Answer a conversation, whole or as server-sent events."""
    refuse_if_strict(body, request)
    response = await complete(body, request=request, worker=worker, caller=caller)
    name_ignored(body, response)
    return response


@router.get("/v1/models", responses=ERRORS)
async def list_models(worker: TheWorker) -> ModelList:
    """The models that are served, the default first."""
    worker.models.find()
    return ModelList(data=[_card(backend) for backend in worker.models.backends])


@router.get("/v1/models/{model}", responses=ERRORS)
async def retrieve_model(model: str, worker: TheWorker) -> ModelCard:
    """One model by name."""
    return _card(worker.models.find(model))


def _card(backend: Backend) -> ModelCard:
    return ModelCard(
        id=backend.name,
        created=backend.created,
        modalities=list(backend.modalities),
        needs_media=backend.needs_media,
    )
