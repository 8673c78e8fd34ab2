"""Sends requests and reads the responses.

Does not know questions or media, nor when to retry; `anymal.client.retries` does.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing

import httpx

from anymal.client.answer import Answer
from anymal.client.errors import ConnectionFailedError
from anymal.client.requests import REQUEST_ID, Call, async_pieces, pieces, raise_for_status
from anymal.client.retries import Backoff, Retries

_LOCAL = "http://127.0.0.1:8000"
_CONNECT_WITHIN_S = 10.0


class Connection:
    """A connection to a service, opened by the first request."""

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str | None,
        timeout: float | httpx.Timeout,
        max_retries: int,
        backoff: Backoff,
        transport: httpx.BaseTransport | None,
    ) -> None:
        """See `anymal.client.Client`."""
        self._http = httpx.Client(
            base_url=_service_root(base_url),
            headers=_key_headers(api_key),
            timeout=_timeout(timeout),
            transport=transport,
        )
        self._retries = Retries(self._http.base_url, max_retries, backoff)

    def send(self, call: Call, *, is_repeatable: bool = True) -> httpx.Response:
        """Send a request and read the whole response.

        Args:
            call: The request.
            is_repeatable: Retry where that may help.

        Raises:
            ClientError: If there is no answer.
        """
        attempt = self._retries.attempt(call, is_repeatable=is_repeatable)
        while True:
            with attempt:
                response = self._http.send(self._request(call))
                raise_for_status(response)
                return response

    def stream(self, call: Call) -> Iterator[str | Answer]:
        """Send a request when the first piece is read.

        Yields:
            Pieces of text, then the answer. Closing the iterator closes the response.

        Raises:
            ClientError: If there is no answer, or it broke off.
        """
        attempt = self._retries.attempt(call)
        while True:
            with (
                attempt as reader,
                closing(self._http.send(self._request(call), stream=True)) as response,
            ):
                if not response.is_success:
                    response.read()
                raise_for_status(response)
                reader.request_id = response.headers.get(REQUEST_ID, call.request_id)
                for fragment in response.iter_bytes():
                    yield from reader.push(fragment)
                yield reader.answer()
                return

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _request(self, call: Call) -> httpx.Request:
        watch = call.on_upload
        content = call.content if watch is None else pieces(call.content, watch)
        return self._http.build_request(
            call.method, call.path, content=content, headers=call.headers
        )


class AsyncConnection:
    """Like `Connection`, for async code."""

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str | None,
        timeout: float | httpx.Timeout,
        max_retries: int,
        backoff: Backoff,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        """See `anymal.client.Client`."""
        self._http = httpx.AsyncClient(
            base_url=_service_root(base_url),
            headers=_key_headers(api_key),
            timeout=_timeout(timeout),
            transport=transport,
        )
        self._retries = Retries(self._http.base_url, max_retries, backoff)

    async def send(self, call: Call, *, is_repeatable: bool = True) -> httpx.Response:
        """See `Connection.send`."""
        attempt = self._retries.attempt(call, is_repeatable=is_repeatable)
        while True:
            async with attempt:
                response = await self._http.send(self._request(call))
                raise_for_status(response)
                return response

    async def stream(self, call: Call) -> AsyncIterator[str | Answer]:
        """See `Connection.stream`."""
        attempt = self._retries.attempt(call)
        while True:
            async with (
                attempt as reader,
                aclosing(await self._http.send(self._request(call), stream=True)) as response,
            ):
                if not response.is_success:
                    await response.aread()
                raise_for_status(response)
                reader.request_id = response.headers.get(REQUEST_ID, call.request_id)
                async for fragment in response.aiter_bytes():
                    for piece in reader.push(fragment):
                        yield piece
                yield reader.answer()
                return

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    def _request(self, call: Call) -> httpx.Request:
        watch = call.on_upload
        content = call.content if watch is None else async_pieces(call.content, watch)
        return self._http.build_request(
            call.method, call.path, content=content, headers=call.headers
        )


def _service_root(given: str | None) -> str:
    """The service's root, with or without the `/v1` that other clients want."""
    url = given or os.environ.get("ANYMAL_BASE_URL") or _LOCAL
    try:
        is_address = url.startswith(("http://", "https://")) and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        is_address = False
    if not is_address:
        raise ConnectionFailedError(
            f"base_url is {url!r}; give one such as {_LOCAL}, with http:// or https://"
        )
    return url.rstrip("/").removesuffix("/v1") + "/"


def _key_headers(api_key: str | None) -> dict[str, str]:
    """The key, if there is one."""
    key = api_key or os.environ.get("ANYMAL_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def _timeout(given: float | httpx.Timeout) -> httpx.Timeout:
    """A number limits the wait for the answer; connecting gets at most 10 of these seconds."""
    if isinstance(given, httpx.Timeout):
        return given
    return httpx.Timeout(given, connect=min(given, _CONNECT_WITHIN_S))
