"""AnyMAL: give a language model eyes, ears and a sense of motion.

Importing this package is light: no torch, no model; names are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anymal.client import (
        AsyncClient,
        Backoff,
        BadRequestError,
        BusyError,
        Client,
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
    from anymal.errors import AnymalError
    from anymal.serving.assistant import load

__version__ = "0.1.0"

__all__ = [
    "AnymalError",
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
    "__version__",
    "load",
]

# Every other name is the client's.
_HOMES = {"AnymalError": "anymal.errors", "load": "anymal.serving.assistant"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'anymal' has no attribute {name!r}; public: {__all__}")
    return getattr(import_module(_HOMES.get(name, "anymal.client")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
