"""What can go wrong between a client and a service.

Does not send anything; `anymal.client.connection` raises these.

    AnymalError
    `-- ClientError             .status .code .param .request_id .retry_after_s .is_transient
        |-- ConnectionFailedError   no answer: nothing listens there, or the line broke
        |   `-- TimedOutError         408, or nothing came within the client's timeout
        |-- BadRequestError         400, 422: the request is not accepted as it is
        |   `-- ContentRefusedError   400 with code content_refused: a check of the service said no
        |-- UnauthorizedError       401: the API key is missing or wrong
        |-- ForbiddenError          403: the API key does not allow this
        |-- NotFoundError           404: no such model or path
        |-- TooLargeError           413: more bytes than the service takes
        |-- BusyError               429: the queue is full, or the key's limit is reached
        `-- ServerError             5xx, or a stream that broke off
            |-- NotReadyError         503: the model is still loading, or the service is closing
            `-- OverdueError          504: the service gave up waiting for the answer
"""

from collections.abc import Mapping

from anymal.errors import AnymalError

# These go away by themselves: the queue empties, the model is loaded, a proxy finds its service.
_TRANSIENT = (408, 429, 502, 503, 504)


class ClientError(AnymalError):
    """A request without an answer.

    Attributes:
        status: HTTP status; None where there was none.
        code: The service's short name of the problem.
        param: The key of the request at fault.
        request_id: The request's id in the service's log.
        retry_after_s: Seconds that the service asked the client to wait, if it did.
        is_transient: Whether the same request may succeed later. The client has then already
            retried it, up to its limit.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        is_transient: bool | None = None,
    ) -> None:
        """See the class.

        Args:
            message: What happened, and what to do.
            status: HTTP status.
            code: The service's short name of the problem.
            param: The key of the request at fault.
            request_id: The request's id in the service's log.
            retry_after_s: Seconds that the service asked the client to wait.
            is_transient: None derives it from the status.
        """
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.is_transient = status in _TRANSIENT if is_transient is None else is_transient


class ConnectionFailedError(ClientError):
    """No answer: nothing listens there, or the line broke."""


class TimedOutError(ConnectionFailedError):
    """408, or nothing came within the client's timeout."""


class BadRequestError(ClientError):
    """400, 422: the request is not accepted as it is."""


class ContentRefusedError(BadRequestError):
    """400 with code `content_refused`: a check of the service refused a prompt or a medium."""


class UnauthorizedError(ClientError):
    """401: the API key is missing or wrong."""


class ForbiddenError(ClientError):
    """403: the API key does not allow this."""


class NotFoundError(ClientError):
    """404: no such model or path."""


class TooLargeError(ClientError):
    """413: more bytes than the service takes."""


class BusyError(ClientError):
    """429: the queue is full, or the key's limit is reached; try again later."""


class ServerError(ClientError):
    """5xx, or a stream that broke off: the service failed."""


class NotReadyError(ServerError):
    """503: the model is still loading, or the service is closing."""


class OverdueError(ServerError):
    """504: the service, or a proxy before it, gave up waiting for the answer."""


_BY_STATUS: Mapping[int, type[ClientError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: TimedOutError,
    413: TooLargeError,
    422: BadRequestError,
    429: BusyError,
    503: NotReadyError,
    504: OverdueError,
}
_BY_CODE: Mapping[str, type[ClientError]] = {"content_refused": ContentRefusedError}


def error_for(status: int, code: str | None = None) -> type[ClientError]:
    """The class of error for a response that is not 2xx.

    Args:
        status: HTTP status.
        code: The service's short name of the problem, if it gave one.

    Returns:
        The most specific class that fits.
    """
    by_status = _BY_STATUS.get(status, ServerError if status >= 500 else ClientError)
    return by_status if code is None else _BY_CODE.get(code, by_status)
