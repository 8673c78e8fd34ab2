"""The outer edge of the app: request ids, a line in the log, metrics, and unexpected exceptions.

Does not refuse requests (`drain`, `body_limit` and `key_check` do). Plain ASGI, so that streams
pass through unchanged.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.edge.request_facts import CURRENT_REQUEST, RequestRecord, note_error
from server.errors import response_for
from server.metrics import Metrics

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_GONE = 499  # as proxies log it


class RequestLog:
    """Gives each request an id, and logs and counts its outcome."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Wraps an app.

        Args:
            app: Handles the request.
            metrics: Counts the responses.
            clock: Returns monotonic seconds.
        """
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(request_id=_request_id(Headers(scope=scope).get(REQUEST_ID)))
        answer = _Answer(send, record.request_id)
        outer, started = CURRENT_REQUEST.set(record), self._clock()
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # the app's edge: one bad request must not end the service
            logger.exception("request %s failed", record.request_id)
            note_error("internal_error")
            if answer.status is None:
                await response_for(error)(scope, receive, answer.send)
        finally:
            self._log(scope, record, answer, self._clock() - started)
            CURRENT_REQUEST.reset(outer)

    def _log(self, scope: Scope, record: RequestRecord, answer: "_Answer", seconds: float) -> None:
        """One line and one count for the request; neither holds anything that the caller wrote."""
        # The pattern of the route, not the path: a path may hold anything a caller wrote.
        path = getattr(scope.get("route"), "path", "(none)")
        status = _CLIENT_GONE if answer.status is None else answer.status
        self._metrics.request(path, status, seconds, error=record.error)
        fields = {
            "method": scope["method"] if scope["method"] in _METHODS else "(other)",
            "path": path,
            "status": status,
            "is_complete": answer.is_complete,
            "ms": round(1000 * seconds, 1),
            "caller": record.caller,
            "tokens": dict(record.tokens),
            "error": record.error,
        }
        logger.info("request", extra={"fields": fields})


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class _Answer:
    """Sends a response with its id, and notes how far it got."""

    _send: Send
    request_id: str
    status: int | None = None
    is_complete: bool = False

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[REQUEST_ID] = self.request_id
            self.status = message["status"]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_complete = True


def _request_id(given: str | None) -> str:
    """The caller's own id if it is a short word, else a new one."""
    return given if given and _ID.fullmatch(given) else uuid.uuid4().hex
