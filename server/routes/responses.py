"""`POST /v1/responses`: OpenAI's Responses API, for text and media in and text out.

Does not answer by itself and keeps nothing: the request becomes that of a chat completion.
"""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from anymal.errors import AnymalError
from anymal.protocol.response_objects import ResponseObject
from anymal.protocol.response_requests import ResponseRequest
from server.answering.respond import respond
from server.answering.response_events import ResponseShape
from server.errors import rule_for
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.ignored import name_ignored, refuse_if_strict
from server.routes.json_body import JsonRoute
from server.routes.openai import ERRORS

router = APIRouter(route_class=JsonRoute)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ResponseObject,
        "description": "the answer, or with stream = true its server-sent events",
        "content": {
            "text/event-stream": {
                "schema": {"description": "each event's data is an object with its type"},
                "example": 'event: response.created\ndata: {"type": "response.created", ...}',
            }
        },
    },
    **ERRORS,
}


@router.post("/v1/responses", response_model=ResponseObject, responses=_RESPONSES)
async def create_response(
    body: ResponseRequest, request: Request, worker: TheWorker, caller: TheCaller
) -> Response:
    """Answer a conversation, which each request holds whole."""
    refuse_if_strict(body, request)
    shape = partial(ResponseShape, body)
    try:
        response = await respond(
            body.chat(), request=request, worker=worker, caller=caller, shape_of=shape
        )
    except AnymalError as error:
        place = error.place or rule_for(error).param
        error.place = place and body.place(place)
        raise
    name_ignored(body, response)
    return response
