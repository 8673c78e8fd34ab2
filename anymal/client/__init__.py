"""The Python client of the service. Loads no torch."""

from anymal.client.client import AsyncClient, Client
from anymal.client.errors import (
    BadRequestError,
    BusyError,
    ClientError,
    ConnectionFailedError,
    ContentRefusedError,
    ForbiddenError,
    NotFoundError,
    NotReadyError,
    OverdueError,
    ServerError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
)
from anymal.client.retries import Backoff

__all__ = [
    "AsyncClient",
    "Backoff",
    "BadRequestError",
    "BusyError",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "ContentRefusedError",
    "ForbiddenError",
    "NotFoundError",
    "NotReadyError",
    "OverdueError",
    "ServerError",
    "TimedOutError",
    "TooLargeError",
    "UnauthorizedError",
]
