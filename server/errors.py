"""The one table from exceptions to HTTP statuses, and the one shape of an error.

Does not log and does not decide when to answer; `request_log` and `app` do.
"""

import math
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from anymal.decoding.pool import PoolClosed
from anymal.engine.base import EngineBusy, EngineClosed
from anymal.errors import (
    AnymalError,
    BundleError,
    MediaError,
    MediaTooLarge,
    RecipeError,
    TooLong,
    bounded,
)
from anymal.protocol.explain import BodyProblem
from anymal.protocol.responses import ErrorBody, ErrorDetail
from server.edge.request_facts import note_error


class BadRequest(AnymalError):
    """A body that is not a request, with the key at fault."""

    def __init__(self, problem: BodyProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class BodyTooLarge(HTTPException):
    """A body with more bytes than accepted.

    An `HTTPException` because FastAPI lets only those through while it reads a body.
    """

    def __init__(self, message: str) -> None:
        super().__init__(413, message)


class BodyCorrupt(HTTPException):
    """A packed body that cannot be unpacked."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


class PackingUnknown(HTTPException):
    """A body that is packed in a way that is not taken."""

    def __init__(self, message: str) -> None:
        super().__init__(415, message)


class BodyTooSlow(HTTPException):
    """A body that did not arrive in time."""

    def __init__(self, message: str) -> None:
        super().__init__(408, message)


class HouseFull(HTTPException):
    """A body for which there is no room beside those that are being answered."""

    def __init__(self, message: str) -> None:
        super().__init__(503, message)


class HouseShareFull(HTTPException):
    """A body for which there is room, but not for this caller."""

    def __init__(self, message: str) -> None:
        super().__init__(429, message)


class Unauthorized(AnymalError):
    """No key, or a wrong one."""


class NotAllowed(AnymalError):
    """A valid key without the right to do this."""


class ForeignHost(AnymalError):
    """A request to a host that a service without keys does not answer as."""


class ForeignPage(AnymalError):
    """A request by a web page of another site to a service without keys."""


class RateLimited(AnymalError):
    """More requests than this caller may send.

    Attributes:
        retry_after: Seconds until another is accepted.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Draining(AnymalError):
    """The service is shutting down: it finishes running answers and starts no others."""

    retry_after = 5.0


class EmbedsNotAllowed(AnymalError):
    """Soft tokens from a caller who is not trusted with them."""


class ContentRefused(AnymalError):
    """A prompt or a medium that a safety check refused."""


class TimedOut(AnymalError):
    """An answer that took longer than the service allows."""


class BundleConflict(AnymalError):
    """A change of the served bundles that cannot be made now."""


class ModelNotFound(AnymalError):
    """A model that is not served here."""


class NotReady(AnymalError):
    """The model is still loading, or could not be loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How an exception is answered."""

    error: type[Exception]
    status: int
    type: str
    code: str | None = None
    param: str | None = None


# The first row whose class fits; any other exception is a bug, and is answered with a plain 500.
RULES = (
    Rule(error=BadRequest, status=400, type="invalid_request_error"),
    Rule(error=Unauthorized, status=401, type="authentication_error", code="invalid_api_key"),
    Rule(error=NotAllowed, status=403, type="permission_error", code="admin_only"),
    Rule(error=ForeignHost, status=403, type="permission_error"),
    Rule(error=ForeignPage, status=403, type="permission_error"),
    Rule(
        error=EmbedsNotAllowed,
        status=403,
        type="permission_error",
        code="embeds_not_allowed",
        param="messages",
    ),
    Rule(
        error=ContentRefused,
        status=400,
        type="invalid_request_error",
        code="content_refused",
        param="messages",
    ),
    Rule(error=TimedOut, status=504, type="server_error", code="request_timeout"),
    Rule(error=BundleConflict, status=409, type="invalid_request_error", code="bundle_conflict"),
    Rule(error=BundleError, status=400, type="invalid_request_error", param="folder"),
    Rule(error=RecipeError, status=400, type="invalid_request_error", param="folder"),
    Rule(
        error=ModelNotFound,
        status=404,
        type="invalid_request_error",
        code="model_not_found",
        param="model",
    ),
    Rule(error=BodyTooLarge, status=413, type="invalid_request_error", code="body_too_large"),
    Rule(error=BodyCorrupt, status=400, type="invalid_request_error", code="body_corrupt"),
    Rule(error=PackingUnknown, status=415, type="invalid_request_error", code="packing_unknown"),
    Rule(error=BodyTooSlow, status=408, type="invalid_request_error", code="body_too_slow"),
    Rule(error=HouseFull, status=503, type="server_error", code="house_full"),
    Rule(error=HouseShareFull, status=429, type="rate_limit_error", code="rate_limit_exceeded"),
    Rule(
        error=MediaTooLarge,
        status=413,
        type="invalid_request_error",
        code="media_too_large",
        param="messages",
    ),
    Rule(
        error=TooLong,
        status=400,
        type="invalid_request_error",
        code="context_length_exceeded",
        param="messages",
    ),
    Rule(error=RateLimited, status=429, type="rate_limit_error", code="rate_limit_exceeded"),
    Rule(error=EngineBusy, status=429, type="rate_limit_error", code="queue_full"),
    Rule(error=NotReady, status=503, type="server_error", code="not_ready"),
    Rule(error=Draining, status=503, type="server_error", code="shutting_down"),
    Rule(error=EngineClosed, status=503, type="server_error", code="shutting_down"),
    Rule(error=PoolClosed, status=503, type="server_error", code="shutting_down"),
    Rule(error=AnymalError, status=400, type="invalid_request_error", param="messages"),
    Rule(error=HTTPException, status=0, type="invalid_request_error"),
)
_UNKNOWN = Rule(error=Exception, status=500, type="server_error", code="internal_error")


def rule_for(error: Exception) -> Rule:
    """The row of an exception."""
    return next((rule for rule in RULES if isinstance(error, rule.error)), _UNKNOWN)


def body_for(error: Exception) -> ErrorBody:
    """The body that reports an exception; it reveals nothing of an unknown one.

    The code is also kept for the request's line in the log.
    """
    rule = rule_for(error)
    message, param, code = str(error), rule.param, rule.code
    if rule is _UNKNOWN:
        message = "the service failed; its log has the details under this request's id"
    elif isinstance(error, HTTPException):
        message = str(error.detail)
    elif isinstance(error, BadRequest):
        param, code = error.problem.param, error.problem.code
    elif code is None:
        code = _snake_case(type(error).__name__)
    if isinstance(error, AnymalError) and error.place is not None:
        param = error.place
        if isinstance(error, MediaError):  # of several media, its own words may fit all
            message = f"{param}: {message}"
    note_error(code or "error")
    message, param = _sendable(message), None if param is None else _sendable(param)
    return ErrorBody(error=ErrorDetail(message=message, type=rule.type, param=param, code=code))


def response_for(error: Exception) -> JSONResponse:
    """The response that reports an exception."""
    status = error.status_code if isinstance(error, HTTPException) else rule_for(error).status
    headers = dict((isinstance(error, HTTPException) and error.headers) or {})
    if status in (429, 503):
        # A full queue empties as answers end; waiting less than a second is pointless.
        seconds = getattr(error, "retry_after", 1.0)
        headers["retry-after"] = str(max(1, math.ceil(seconds)))
    if status == 408:  # the service does not wait for the rest of the body
        headers["connection"] = "close"
    return JSONResponse(body_for(error).model_dump(), status_code=status, headers=headers)


def _sendable(text: str) -> str:
    """What an error says of a request, which may quote more of it than anybody reads."""
    # A lone surrogate in a quotation cannot be sent.
    return bounded(text).encode(errors="backslashreplace").decode()


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
