"""Media from other hosts, for services that allow it: fetched once, from checked addresses.

Does not decode media and reads no paths. A name is resolved once, every address that it has is
checked, and the connection goes to such an address; what the name says a moment later does not
matter. Redirects are new requests, and are checked again.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache

import httpx

from anymal.errors import (
    MediaError,
    MediaForbidden,
    MediaNotFound,
    MediaTooLarge,
    MediaUnsupported,
)
from anymal.media.limits import Limits
from anymal.media.source import reason, shorten
from anymal.protocol.conversation import Conversation, data_url
from server.addresses import is_public
from server.media_urls import media_urls, with_urls

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses."""

_MOST_REDIRECTS = 3
_MOST_URLS = 16  # of one conversation
_PORTS = {"https": 443, "http": 80}
_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {
    "accept": "image/*, video/*, audio/*, */*;q=0.5",
    # Packed content could unpack to any size; media is packed by its own format.
    "accept-encoding": "identity",
    "user-agent": "anymal",
}
_ACCEPTED = "a URL of an allowed host, or a base64 data URL"


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses that the system knows of a host.

    Raises:
        OSError: If it knows none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMedia:
    """Fetches media from allowed hosts.

    Attributes:
        hosts: Allowed hosts, as `host` (of the usual port) or `host:port`.
        allow_http: Whether unencrypted connections are allowed too.
        max_bytes: Most bytes of all media of a conversation together.
        seconds: How long they may take together.
        resolve: Host to addresses.
        is_allowed: Which addresses may be connected to.
        tls: How certificates are checked; None trusts what the system trusts.
    """

    hosts: frozenset[str]
    allow_http: bool = False
    max_bytes: int = Limits().max_bytes
    seconds: float = 20.0
    resolve: Resolve = system_resolver
    is_allowed: Callable[[str], bool] = is_public
    tls: ssl.SSLContext | None = None

    async def inline(self, conversation: Conversation) -> Conversation:
        """Bring the remote media of a conversation into it.

        Args:
            conversation: Perhaps with `http:` and `https:` URLs.

        Returns:
            The same, with data URLs in their place.

        Raises:
            MediaForbidden: A host, scheme or address that is not allowed.
            MediaNotFound: No whole answer in time.
            MediaTooLarge: More bytes, or more URLs, than accepted.
            MediaUnsupported: A packed answer.
        """
        urls = media_urls(conversation, _PORTS)
        if not urls:
            return conversation
        if len(urls) > _MOST_URLS:
            raise MediaTooLarge("messages", f"{len(urls)} remote URLs", f"at most {_MOST_URLS}")
        found: dict[str, str] = {}
        left = self.max_bytes
        try:
            async with asyncio.timeout(self.seconds):
                for url, place in urls.items():
                    data = await self._placed(url, place, max_bytes=left)
                    left -= len(data)
                    found[url] = await asyncio.to_thread(data_url, data)
        except TimeoutError:
            url = next(url for url in urls if url not in found)
            found_late = f"no whole answer within {self.seconds:g} s"
            late = MediaNotFound(shorten(url), found_late, _ACCEPTED)
            late.place = urls[url]
            raise late from None
        return with_urls(conversation, found)

    async def _placed(self, url: str, place: str, *, max_bytes: int) -> bytes:
        """Fetch; an error tells the place of the URL in the conversation."""
        try:
            return await self.fetch(url, max_bytes=max_bytes)
        except MediaError as error:
            error.place = place
            raise

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """The content of a URL, redirects followed.

        Args:
            url: A full URL.
            max_bytes: Most bytes of it.

        Returns:
            The bytes.

        Raises:
            MediaError: As `inline`.
        """
        name = shorten(url)
        for _ in range(1 + _MOST_REDIRECTS):
            target = self._checked(url, name)
            addresses = await self._addresses(target, name)
            found = await self._get(target, addresses, name, max_bytes)
            if isinstance(found, bytes):
                return found
            url = found
        raise MediaForbidden(name, f"more than {_MOST_REDIRECTS} redirects", _ACCEPTED)

    def _checked(self, url: str, name: str) -> httpx.URL:
        """The URL, if it may be asked for."""
        try:
            target = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise MediaForbidden(name, "a URL that cannot be read", _ACCEPTED) from error
        host = target.raw_host.decode("ascii").lower()
        if target.scheme not in _PORTS or (target.scheme == "http" and not self.allow_http):
            raise MediaForbidden(name, f"a {target.scheme} URL", "an https URL")
        if target.userinfo:
            raise MediaForbidden(name, "a URL with a user name", "a URL without one")
        own = host if target.port is None else f"{host}:{target.port}"
        if own not in self.hosts:
            raise MediaForbidden(name, f"the host {shorten(own)!r}", _ACCEPTED)
        return target

    async def _addresses(self, target: httpx.URL, name: str) -> Sequence[str]:
        """The host's addresses, resolved this once; one bad address spoils them all."""
        host = target.raw_host.decode("ascii")
        try:
            addresses = await self.resolve(host, target.port or _PORTS[target.scheme])
        except OSError as error:
            raise MediaNotFound(
                name, f"a host that is not known ({reason(error)})", _ACCEPTED
            ) from error
        # The message does not name the address: it would reveal the private network.
        if not addresses or not all(map(self.is_allowed, addresses)):
            raise MediaForbidden(name, "a host with an address that is not public", _ACCEPTED)
        return list(dict.fromkeys(addresses))

    async def _get(
        self, target: httpx.URL, addresses: Sequence[str], name: str, max_bytes: int
    ) -> bytes | str:
        """The content, or where else it is; addresses are tried in turn until one connects."""
        for address in addresses:
            try:
                return await self._get_from(target, address, name, max_bytes)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = error
            except httpx.HTTPError as error:
                raise MediaNotFound(
                    name, f"no whole answer ({type(error).__name__})", _ACCEPTED
                ) from error
        raise MediaNotFound(name, "no connection", _ACCEPTED) from problem

    async def _get_from(
        self, target: httpx.URL, address: str, name: str, max_bytes: int
    ) -> bytes | str:
        """One request to one address, in the name of the host."""
        host = target.raw_host.decode("ascii")
        timeout = httpx.Timeout(self.seconds, connect=self.seconds / 4)
        request = httpx.Request(
            "GET",
            target.copy_with(host=address),
            headers=_HEADERS | {"host": target.netloc.decode("ascii")},
            # TLS names the host and checks the certificate against it, not against the address.
            extensions={"sni_hostname": host, "timeout": timeout.as_dict()},
        )
        # A transport alone: no proxies from the environment, redirects, cookies or kept lines.
        transport = httpx.AsyncHTTPTransport(verify=self.tls or _system_tls(), trust_env=False)
        async with transport:
            response = await transport.handle_async_request(request)
            async with aclosing(response):
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    return _joined(target, response.headers["location"], name)
                return await _content(response, name, max_bytes)


def _joined(target: httpx.URL, location: str, name: str) -> str:
    """Where a redirect leads."""
    try:
        return str(target.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise MediaForbidden(name, "a redirect that cannot be read", _ACCEPTED) from error


async def _content(response: httpx.Response, name: str, max_bytes: int) -> bytes:
    """The bytes of an answer, counted while they come."""
    if response.status_code != httpx.codes.OK:
        raise MediaNotFound(name, f"HTTP status {response.status_code}", "status 200")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise MediaUnsupported(name, "a packed answer", "an answer without Content-Encoding")
    accepted = f"at most {max_bytes:,} bytes"
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:19]) > max_bytes:
        raise MediaTooLarge(name, "more bytes", accepted)
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > max_bytes:
            raise MediaTooLarge(name, "more bytes", accepted)
    return bytes(data)


@cache
def _system_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
