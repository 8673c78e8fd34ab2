"""Which paths need which key, and each caller's limits.

Does not store keys (`keys`) and counts neither requests (`caller_limits`) nor wrong keys
(`failed_keys`).
"""

from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from anymal.errors import AnymalError
from server.edge.caller_limits import CallerLimits
from server.edge.failed_keys import FailedKeys
from server.edge.keys import ANONYMOUS, Caller, Keyring
from server.edge.request_facts import CURRENT_REQUEST
from server.errors import NotAllowed, RateLimited, Unauthorized, response_for

# Open to everyone: health checks, the page, and the documentation. All other paths need a key
# where there are keys, including paths that do not exist yet.
_OPEN = frozenset({"/", "/health", "/healthz", "/readyz", "/openapi.json", "/docs"})
_PAGE = "/page/"
_ADMIN = "/admin"
_METRICS = "/metrics"


class KeyCheck:
    """Admits callers, and passes them to the app as `request.state.caller`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keyring: Keyring,
        limits: CallerLimits,
        failed: FailedKeys,
        has_open_metrics: bool,
    ) -> None:
        """Wraps an app.

        Args:
            app: Handles admitted requests.
            keyring: All keys.
            limits: Applies each caller's limits.
            failed: Counts wrong keys.
            has_open_metrics: Whether `/metrics` needs no key.
        """
        self._app = app
        self._keyring = keyring
        self._limits = limits
        self._failed = failed
        self._has_open_metrics = has_open_metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as stack:
            try:
                caller = self._caller(scope)
                stack.enter_context(self._limits.admit(caller))
            except AnymalError as error:
                await response_for(error)(scope, receive, send)
                return
            if (record := CURRENT_REQUEST.get()) is not None:
                record.caller = caller.name
            scope.setdefault("state", {})["caller"] = caller
            await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        """The caller, if the caller may use the path."""
        path, key = scope["path"], _key_of(Headers(scope=scope).get("authorization"))
        caller = self._keyring.find(key)
        if self._asks_for_admin(path):
            if caller is None:
                raise self._refusal(scope, key, "an administrator's key")
            if not caller.is_admin:
                raise NotAllowed(f"the key {caller.name!r} is not an administrator's")
            return caller
        if caller is not None:
            return caller
        if self._keyring.is_open or path in _OPEN or path == _METRICS or path.startswith(_PAGE):
            return ANONYMOUS
        raise self._refusal(scope, key, "the API key")

    def _refusal(self, scope: Scope, key: str, wanted: str) -> AnymalError:
        """What is said to a missing or a wrong key; only wrong ones are counted."""
        address = (scope.get("client") or ("",))[0]
        if key and (wait_s := self._failed.note(address)) > 0:
            return RateLimited(
                f"too many wrong keys came from this address; try {wanted} again in {wait_s:.0f} s",
                retry_after=wait_s,
            )
        return Unauthorized(
            f"{wanted} is missing or wrong; send the header 'Authorization: Bearer KEY'"
        )

    def _asks_for_admin(self, path: str) -> bool:
        if path == _METRICS:
            return not (self._has_open_metrics or self._keyring.is_bare)
        return path == _ADMIN or path.startswith(f"{_ADMIN}/")


def _key_of(authorization: str | None) -> str:
    """The token after `Bearer`; empty, which is never a key, if there is none."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
