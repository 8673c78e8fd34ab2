"""How large a body may be, and how long it may take to arrive.

Does not read bodies: it counts what the app behind it reads, so a refused one is never read whole.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BodyTooLarge, BodyTooSlow, response_for

_MOST_DIGITS = 19  # enough for any real size
_URLENCODED = "application/x-www-form-urlencoded"
_MOST_URLENCODED = 2**20  # such a form holds no files, and is read letter by letter


def most_bytes(headers: Headers, max_bytes: int) -> int:
    """The largest body of a request.

    Args:
        headers: Of the request.
        max_bytes: The largest of any request.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return min(max_bytes, _MOST_URLENCODED) if kind == _URLENCODED else max_bytes


class BodyLimit:
    """Refuses bodies that are too large or too slow."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float) -> None:
        """Wraps an app.

        Args:
            app: Reads the bodies.
            max_bytes: Largest body.
            seconds: How long one may take from the request's head to its own last byte.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared, most = headers.get("content-length", ""), most_bytes(headers, self._max_bytes)
        try:
            if declared.isdecimal():
                _check(int(declared[:_MOST_DIGITS]), most)
        except BodyTooLarge as error:
            await response_for(error)(scope, receive, send)
            return
        await self._app(scope, self._counted(receive, most), send)

    def _counted(self, receive: Receive, most: int) -> Receive:
        """Count the body while it is read; its length may not have been declared."""
        num_bytes, has_ended = 0, False
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def counted() -> Message:
            nonlocal num_bytes, has_ended
            if has_ended:  # from here on, the only message to come is the client's disconnect
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(
                    f"the body did not arrive within {self._seconds:g} s; send smaller media, "
                    "or raise body_seconds"
                ) from None
            num_bytes += len(message.get("body", b""))
            _check(num_bytes, most)
            has_ended = not message.get("more_body", False)
            return message

        return counted


def _check(num_bytes: int, most: int) -> None:
    if num_bytes > most:
        raise BodyTooLarge(
            f"the body has {num_bytes} bytes or more; at most {most} are accepted; send smaller "
            "media"
        )
