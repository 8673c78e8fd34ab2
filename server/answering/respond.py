"""A request to its response, whole or as events, in whatever shape the path promises.

Does not run the engine, and does not know the shapes; `completions` and `response_events` do.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Protocol

from fastapi import Request
from fastapi.responses import Response

from anymal.engine.events import Failed
from anymal.protocol.requests import ChatCompletionRequest, ConversationRequest
from server.answering.answers import Piece
from server.answering.disconnect import unless_disconnected
from server.answering.sse import EventStream, Writer, events
from server.answering.worker import Worker
from server.edge.keys import Caller
from server.errors import EmbedsNotAllowed


class Shape(Writer, Protocol):
    """How an answer is written."""

    async def whole(self, pieces: AsyncIterator[Piece]) -> Response:
        """The response, once all its pieces have come.

        Raises:
            Exception: That of a failed piece.
        """
        ...


async def respond(
    body: ChatCompletionRequest,
    *,
    request: Request,
    worker: Worker,
    caller: Caller,
    shape_of: Callable[[str], Shape],
) -> Response:
    """Answer.

    Args:
        body: The request.
        request: Tells when the client disconnects; its body must have been read.
        worker: Answers the request.
        caller: Who asks.
        shape_of: How the answer of a model, by its name, is written.

    Returns:
        The response.

    Raises:
        EmbedsNotAllowed: If the caller may not send soft tokens, and did.
        ClientGone: If the client went away before the response began.
        AnymalError: If the worker refuses the request.
    """
    refuse_embeds(body, caller)
    name = worker.models.find(body.model).name
    pieces = worker.answer(body.model_copy(update={"model": name}), caller)
    shape = shape_of(name)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pieces.aclose)
        if not body.stream:
            return await unless_disconnected(request.receive, shape.whole(pieces))
        # The first piece shows whether the prompt was accepted, while the status can still change.
        first = await unless_disconnected(request.receive, anext(pieces))
        if isinstance(first.event, Failed):
            raise first.event.error
        stack.pop_all()  # the response closes the pieces from here on
        return EventStream(events(_after(first, pieces), shape), pieces)


def refuse_embeds(body: ConversationRequest, caller: Caller) -> None:
    """Refuse soft tokens from a caller who is not trusted with them.

    Raises:
        EmbedsNotAllowed: If the caller may not send soft tokens, and did.
    """
    if body.has_embeds and not caller.may_send_embeds:
        raise EmbedsNotAllowed(
            f"the caller {caller.name!r} may not send prompt_embeds; send the medium itself, or "
            "ask the operator for a key that may"
        )


async def _after(first: Piece, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    """All pieces, the first of which was taken out already."""
    yield first
    async for piece in pieces:
        yield piece
