"""Which hosts and web pages may use a service that answers without keys.

Does not know keys: where every request needs one, no page of another site can send it, and this is
not used. Without keys, it keeps out pages of other sites, and sites whose name was pointed at this
machine after the browser had loaded their page (DNS rebinding).
"""

import re
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from anymal.errors import AnymalError
from anymal.media.source import shorten
from server.errors import ForeignHost, ForeignPage, response_for

# Load balancers ask for these by address. They tell nothing that needs a secret.
_PROBES = frozenset({"/health", "/healthz", "/readyz"})
# Other sites may link to these.
_PAGES = frozenset({"/", "/docs"})
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ANY_SITE = "*"
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::\d*)?")
_WAY_OUT = "or require keys (anymal keys new NAME, then --keys-file keys.json)"


class SameSite:
    """Refuses what was sent to another host or by a page of another site."""

    def __init__(
        self, app: ASGIApp, *, host: str, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        """Wraps an app.

        Args:
            app: Handles what is let in.
            host: The address that the service listens on. One that stands for all addresses of
                the machine allows every `Host` that is an address: no name can be pointed there.
            hosts: Other names of the service, each with its port or for any port.
            origins: Web origins whose pages may ask, such as `https://example.com`; `*` for all.
        """
        self._app = app
        self._names = frozenset(name.lower() for name in hosts)
        self._listens = frozenset({*_LOOPBACK, _bracketed(host.lower())})
        self._takes_addresses = host == "" or (is_address(host) and ip_address(host).is_unspecified)
        self._origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["path"] not in _PROBES:
            try:
                self._check(Headers(scope=scope), is_visit=_is_visit(scope))
            except AnymalError as error:
                await response_for(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers, *, is_visit: bool) -> None:
        host = headers.get("host", "").lower()
        # Every browser sends one; of other clients HTTP/1.1 asks it, and HTTP/1.0 does not.
        if "host" in headers and not self._is_own(host):
            raise ForeignHost(
                f"this service answers without keys, and only under its own names; "
                f"{shorten(host)!r} is not one; name it in ANYMAL_HOSTS, {_WAY_OUT}"
            )
        origin = headers.get("origin")
        if origin is not None:
            is_foreign = not self._may_ask(origin.lower(), host)
        else:
            is_foreign = headers.get("sec-fetch-site") == "cross-site" and not is_visit
        if is_foreign:
            raise ForeignPage(
                "this service answers without keys, and not to pages of other sites; allow "
                f"{shorten(origin or 'the site')!r} with --cors-origin, {_WAY_OUT}"
            )

    def _is_own(self, host: str) -> bool:
        name = _name_of(host)
        if name in self._listens or self._is_named(host):
            return True
        return self._takes_addresses and is_address(name.strip("[]"))

    def _is_named(self, host: str) -> bool:
        return host in self._names or _name_of(host) in self._names

    def _may_ask(self, origin: str, host: str) -> bool:
        """Whether an origin is the service's own, or allowed."""
        if _ANY_SITE in self._origins or origin in self._origins:
            return True
        scheme, _, site = origin.partition("://")
        # A proxy may have changed the host, but not the name that its operator gave.
        return scheme in ("http", "https") and (site == host or self._is_named(site))


def is_address(name: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_visit(scope: Scope) -> bool:
    """Whether somebody opens one of the service's pages in a browser."""
    mode = Headers(scope=scope).get("sec-fetch-mode")
    return scope["method"] in ("GET", "HEAD") and scope["path"] in _PAGES and mode == "navigate"


def _name_of(host: str) -> str:
    """A host without its port; empty if it is not a host."""
    found = _HOST.fullmatch(host)
    return "" if found is None else found[1]


def _bracketed(host: str) -> str:
    """As a `Host` header writes it."""
    return f"[{host}]" if ":" in host else host
