"""What can go wrong between a client and a service.

Does not send anything; `anymal.client` raises these.

    AnymalError
    `-- ClientError             .status .code .param .request_id
        |-- ConnectionFailedError   no answer: nothing listens there, or the line broke
        |   `-- TimedOutError         the answer took longer than the client's timeout
        |-- BadRequestError         400, 422: the request is not accepted as it is
        |-- UnauthorizedError       401, 403: the API key is missing or wrong
        |-- NotFoundError           404: no such model or path
        |-- TooLargeError           413: more bytes than the service takes
        |-- BusyError               429: the queue is full; try again later
        `-- ServerError             5xx, or a stream that broke off
            `-- NotReadyError         503: the model is still loading
"""

from collections.abc import Mapping

from anymal.errors import AnymalError


class ClientError(AnymalError):
    """A request without an answer.

    Attributes:
        status: HTTP status; None where there was none.
        code: The service's short name of the problem.
        param: The key of the request at fault.
        request_id: What the service's log calls the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id


class ConnectionFailedError(ClientError):
    """No answer: nothing listens there, or the line broke."""


class TimedOutError(ConnectionFailedError):
    """The answer took longer than the client's timeout."""


class BadRequestError(ClientError):
    """400, 422: the request is not accepted as it is."""


class UnauthorizedError(ClientError):
    """401, 403: the API key is missing or wrong."""


class NotFoundError(ClientError):
    """404: no such model or path."""


class TooLargeError(ClientError):
    """413: more bytes than the service takes."""


class BusyError(ClientError):
    """429: the queue is full; try again later."""


class ServerError(ClientError):
    """5xx, or a stream that broke off: the service failed."""


class NotReadyError(ServerError):
    """503: the model is still loading."""


_BY_STATUS: Mapping[int, type[ClientError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: UnauthorizedError,
    404: NotFoundError,
    413: TooLargeError,
    422: BadRequestError,
    429: BusyError,
    503: NotReadyError,
}


def error_for_status(status: int) -> type[ClientError]:
    """The class of a status that is not 2xx."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else ClientError)
