"""`POST /v1/align`: one medium to the soft tokens that the language model reads.

Does not run encoders; the worker does.
"""

from functools import partial

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from anymal.engine.prompt import EmbeddingSpan, SideSpan
from anymal.errors import AnymalError, ConversationError, TooLong
from anymal.modality import modality_of
from anymal.protocol.conversation import Message, TextPart
from anymal.protocol.requests import AlignRequest
from anymal.protocol.responses import SoftTokensReply
from server.answering.disconnect import unless_disconnected
from server.routes.dependencies import TheCaller, TheWorker
from server.routes.ignored import name_ignored, refuse_if_strict
from server.routes.json_body import JsonRoute
from server.routes.openai import ERRORS
from server.served.models import Backend

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/align", responses=ERRORS)
async def align(
    body: AlignRequest, request: Request, response: Response, worker: TheWorker, caller: TheCaller
) -> SoftTokensReply:
    """Turn one medium into soft tokens.

    Trusted callers may send them back as a `prompt_embeds` part, with the same `modality`.
    """
    refuse_if_strict(body, request)
    served = worker.models.find(body.model)
    message = _message(body, served)
    try:
        soft = await unless_disconnected(
            request.receive, worker.align(message, served.name, caller)
        )
    except AnymalError as error:
        if isinstance(error, TooLong) and body.text:
            error.place = "text"
        elif error.place is not None:  # which the worker calls a message's part
            error.place = "input"
        raise
    name_ignored(body, response)
    write = partial(_reply, soft, model=served.name, as_lists=body.format == "json")
    return await anyio.to_thread.run_sync(write)


def _message(body: AlignRequest, served: Backend) -> Message:
    """The message that carries the medium, with the words that its aligner reads beside it."""
    modality = modality_of(body.input)
    if (modality in served.reads_text) != (body.text is not None):
        error = ConversationError(
            f"soft tokens of {modality} depend on the words beside it; send text, which may be "
            "empty"
            if body.text is None
            else f"soft tokens of {modality} do not depend on words; leave text out"
        )
        error.place = "text"
        raise error
    words = [] if body.text is None else [TextPart(text=body.text)]
    return Message(role="user", content=[body.input, *words])


def _reply(soft: EmbeddingSpan | SideSpan, *, model: str, as_lists: bool) -> SoftTokensReply:
    """What is sent; on a thread, because it may be megabytes."""
    # Imported here: by now the model has brought torch, which the app starts without.
    from anymal.media.soft_token_file import pack

    return SoftTokensReply(
        model=model,
        modality=soft.kind,
        shape=list(soft.embeddings.shape),
        beside=isinstance(soft, SideSpan),
        embeds=soft.embeddings.tolist() if as_lists else pack(soft.embeddings),
    )
