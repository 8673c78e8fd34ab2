"""Routes whose JSON bodies are read here: large ones off the event loop, one at a time.

FastAPI parses and validates on the event loop, and makes a list of all that is wrong. Does not
bound the bytes of a body; `edge.body_limit` does.
"""

from collections.abc import Callable, Coroutine
from email.message import Message
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import Request, params
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from anymal.protocol.explain import explain
from server.answering.disconnect import ClientGone
from server.errors import BadRequest
from server.routes.json_text import not_json, parsed

_LARGE_BYTES = 2**16
_NO_OBJECT = "the body is not a JSON object; send one with 'Content-Type: application/json'"


class JsonRoute(APIRoute):
    """A route that gets its body validated; forms and routes without a body are as ever."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()
        field = self.body_field
        if field is None or isinstance(field.field_info, params.Form):
            return handle
        model = field.field_info.annotation
        assert isinstance(model, type), model
        assert issubclass(model, BaseModel), model

        async def read_first(request: Request) -> Response:
            return await handle(_Read(request, await _read(request, model)))

        return read_first


class _Read(Request):
    """A request whose body has been read."""

    def __init__(self, request: Request, value: BaseModel) -> None:
        super().__init__(request.scope, request.receive)
        self._body = b"{}"  # not empty, which would mean that there is none
        self._json = value


async def _read(request: Request, model: type[BaseModel]) -> BaseModel:
    """The body as a model.

    Raises:
        BadRequest: If it is not a JSON object of this shape.
        BodyTooLarge: If it holds too many values.
        ClientGone: If the client left before its end.
    """
    if not _is_json(request.headers.get("content-type", "")):
        raise not_json(_NO_OBJECT)
    text = bytearray()
    try:
        async for piece in request.stream():
            text += piece
    except ClientDisconnect:
        raise ClientGone from None
    if len(text) <= _LARGE_BYTES:
        return _validated(text, model)
    validate = partial(_validated, text, model)
    async with request.app.state.reading.turn(request.state.caller.name):
        return await anyio.to_thread.run_sync(validate)


def _validated(text: bytearray, model: type[BaseModel]) -> BaseModel:
    value = parsed(text)
    text.clear()  # the values hold all of it
    if not isinstance(value, dict):
        raise not_json(_NO_OBJECT)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadRequest(explain(error.errors(include_input=False), value)) from None


def _is_json(content_type: str) -> bool:
    """Whether this is `application/json`, or another kind of it such as `application/x+json`."""
    header = Message()
    header["content-type"] = content_type
    kind = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (
        kind == "json" or kind.endswith("+json")
    )
