"""`POST /v1/likelihood`: how likely given answers to a conversation are.

Does not compute; the worker does.
"""

from fastapi import APIRouter, Request, Response

from anymal.protocol.requests import LikelihoodRequest
from anymal.protocol.responses import LikelihoodReply
from anymal.serving.shapes import likelihood_reply
from server.answering.disconnect import unless_disconnected
from server.answering.respond import refuse_embeds
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.ignored import name_ignored, refuse_if_strict
from server.routes.json_body import JsonRoute
from server.routes.openai import ERRORS

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/likelihood", responses=ERRORS)
async def grade_answers(
    body: LikelihoodRequest,
    request: Request,
    response: Response,
    worker: TheWorker,
    caller: TheCaller,
) -> LikelihoodReply:
    """Tell how likely each of some answers to a conversation is."""
    refuse_if_strict(body, request)
    refuse_embeds(body, caller)
    model = worker.models.find(body.model).name
    named = body.model_copy(update={"model": model})
    found = await unless_disconnected(request.receive, worker.likelihood(named, caller))
    name_ignored(body, response)
    return likelihood_reply(found, model=model)
