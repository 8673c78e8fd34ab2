"""Forms that arrived whole: one without its end has lost at least a part of its last field.

The form's reader would leave that field out. It checks the end alone, not the fields.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header

from server.errors import BodyCorrupt

# White space behind the end.
_SLACK = 16


class WholeFormRoute(APIRoute):
    """A route that refuses a multipart form whose last boundary did not arrive."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            return await handler(_WholeFormRequest(request.scope, request.receive))

        return checked


class _WholeFormRequest(Request):
    """A request whose body is checked as it is read."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """See Starlette."""
        kind, options = parse_options_header(self.headers.get("content-type"))
        end = b"--" + options.get(b"boundary", b"") + b"--"
        tail = b""
        async for piece in super().stream():
            tail = (tail + piece)[-len(end) - _SLACK :]
            yield piece
        if kind == b"multipart/form-data" and not tail.rstrip().endswith(end):
            raise BodyCorrupt("the form was cut short: its last boundary is missing; send it again")
