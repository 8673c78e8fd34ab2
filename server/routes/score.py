"""`POST /v1/score`: how good the answer is that ends a conversation, by a reward model.

Does not compute; the worker does.
"""

from fastapi import APIRouter, Request, Response

from anymal.protocol.requests import ScoreRequest
from anymal.protocol.responses import ScoreReply
from anymal.serving.shapes import usage_of
from server.answering.disconnect import unless_disconnected
from server.answering.respond import refuse_embeds
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.ignored import name_ignored, refuse_if_strict
from server.routes.json_body import JsonRoute
from server.routes.openai import ERRORS

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/score", responses=ERRORS)
async def score_answer(
    body: ScoreRequest,
    request: Request,
    response: Response,
    worker: TheWorker,
    caller: TheCaller,
) -> ScoreReply:
    """Grade the answer that ends a conversation; only for bundles with a read-out `reward`."""
    refuse_if_strict(body, request)
    refuse_embeds(body, caller)
    model = worker.models.find(body.model).name
    named = body.model_copy(update={"model": model})
    found = await unless_disconnected(request.receive, worker.score(named, caller))
    name_ignored(body, response)
    return ScoreReply(model=model, score=found.value, usage=usage_of(found.counts))
