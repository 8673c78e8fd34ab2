"""Shutdown: running answers finish, and no others start.

Does not know signals or ports; `running` does.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import Draining, response_for

# Monitoring still needs these.
_STILL_OPEN = frozenset({"/health", "/healthz", "/metrics"})


class Drain:
    """Counts the running requests."""

    def __init__(self) -> None:
        self.is_draining = False
        self.num_running = 0

    def begin(self) -> None:
        """Accept no more requests."""
        self.is_draining = True


class DrainGate:
    """Refuses requests while the service drains, `/readyz` among them."""

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._drain.is_draining and scope["path"] not in _STILL_OPEN:
            error = Draining("the service is shutting down; ask again in a moment")
            await response_for(error)(scope, receive, send)
            return
        self._drain.num_running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._drain.num_running -= 1
