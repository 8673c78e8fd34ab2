"""The edge of the app: request ids, the API key, the size of a body, and what nobody expected.

Does not know routes; it is plain ASGI, so that a refused body is never read whole.
"""

import hmac
import logging
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BodyTooLarge, Unauthorized, response_for

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
_LONGEST_ID = 128


class Gate:
    """Lets requests in."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, max_body_bytes: int) -> None:
        """Wraps an app.

        Args:
            app: What is behind the gate.
            api_key: Asked for under `/v1`; None asks for none.
            max_body_bytes: Largest request body.
        """
        self._app = app
        self._api_key = api_key
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get(REQUEST_ID))
        has_started = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            self._check(scope["path"], headers)
            await self._app(scope, self._counted(receive), send_with_id)
        except (Unauthorized, BodyTooLarge) as error:
            await response_for(error)(scope, receive, send_with_id)
        except Exception as error:  # the app's edge: one bad request must not end the service
            logger.exception("request %s failed", request_id)
            if not has_started:
                await response_for(error)(scope, receive, send_with_id)

    def _check(self, path: str, headers: Headers) -> None:
        """Refuse by headers alone."""
        if self._api_key is not None and path.startswith("/v1/"):
            given, wanted = headers.get("authorization", ""), f"Bearer {self._api_key}"
            # In constant time, so that answers do not tell how much of a guess was right.
            if not hmac.compare_digest(given.encode(), wanted.encode()):
                raise Unauthorized(
                    "the API key is missing or wrong; send the header 'Authorization: Bearer KEY'"
                )
        declared = headers.get("content-length", "")
        if declared.isdigit():
            self._check_size(int(declared))

    def _check_size(self, num_bytes: int) -> None:
        if num_bytes > self._max_body_bytes:
            raise BodyTooLarge(
                f"the body has {num_bytes} bytes or more; at most {self._max_body_bytes} are "
                "accepted; send smaller media"
            )

    def _counted(self, receive: Receive) -> Receive:
        """Count the body while it is read; its length may not have been declared."""
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            self._check_size(num_bytes)
            return message

        return counted


def _request_id(given: str | None) -> str:
    """The caller's own id where it is a plain word, else a new one."""
    if given and len(given) <= _LONGEST_ID and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex
