"""Sends requests, again where that helps, and reads what comes back.

Does not know questions or media. A request is repeated where nothing was answered and the same may
be answered later: `errors.py` says of each error whether it is so, `backoff.py` how long to wait.
A stream is not repeated once its first event is there.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count

import httpx

from anymal.client.answer import Answer
from anymal.client.backoff import Backoff
from anymal.client.errors import ClientError, ConnectionFailedError, TimedOutError
from anymal.client.requests import REQUEST_ID, Call, key_headers, raise_for_status, service_root
from anymal.client.stream import StreamReader
from anymal.client.upload import async_pieces, pieces

logger = logging.getLogger(__name__)

_CONNECT_WITHIN_S = 10.0
# A service that reads or answers too slowly is at work: asked again, it would work twice.
_TRANSIENT = (httpx.ConnectTimeout, httpx.NetworkError, httpx.RemoteProtocolError)


class Connection:
    """The line to a service; connects when it is first used."""

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
            base_url=service_root(base_url),
            headers=key_headers(api_key),
            timeout=_timeout(timeout),
            transport=transport,
        )
        self._retries = _Retries(max_retries, backoff)

    def send(self, call: Call, *, is_repeatable: bool = True) -> httpx.Response:
        """Send a request and read its response whole.

        Args:
            call: The request.
            is_repeatable: Ask again where that helps.

        Raises:
            ClientError: If there is no answer.
        """
        for attempt in count():
            try:
                with _told(self._http, call):
                    response = self._http.send(self._request(call))
                raise_for_status(response)
                return response
            except ClientError as error:
                wait_s = self._retries.wait_s(attempt, error) if is_repeatable else None
                if wait_s is None:
                    raise
            self._retries.backoff.sleep(wait_s)
        raise AssertionError("counting ended")

    def stream(self, call: Call) -> Iterator[str | Answer]:
        """Send a request with the first piece that is asked for.

        Yields:
            Pieces of text, then the answer. Closing the iterator closes the response.

        Raises:
            ClientError: If there is no answer, or it broke off.
        """
        for attempt in count():
            reader = StreamReader(call.request_id)
            try:
                with _told(self._http, call, reader):
                    response = self._http.send(self._request(call), stream=True)
                    try:
                        if not response.is_success:
                            response.read()
                        raise_for_status(response)
                        reader.request_id = response.headers.get(REQUEST_ID, call.request_id)
                        for fragment in response.iter_bytes():
                            yield from reader.push(fragment)
                    finally:
                        response.close()
                yield reader.answer()
                return
            except ClientError as error:
                wait_s = self._retries.wait_s(attempt, error, reader)
                if wait_s is None:
                    raise
            self._retries.backoff.sleep(wait_s)

    def close(self) -> None:
        """Hang up."""
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
            base_url=service_root(base_url),
            headers=key_headers(api_key),
            timeout=_timeout(timeout),
            transport=transport,
        )
        self._retries = _Retries(max_retries, backoff)

    async def send(self, call: Call, *, is_repeatable: bool = True) -> httpx.Response:
        """See `Connection.send`."""
        for attempt in count():
            try:
                with _told(self._http, call):
                    response = await self._http.send(self._request(call))
                raise_for_status(response)
                return response
            except ClientError as error:
                wait_s = self._retries.wait_s(attempt, error) if is_repeatable else None
                if wait_s is None:
                    raise
            await self._retries.backoff.sleep_async(wait_s)
        raise AssertionError("counting ended")

    async def stream(self, call: Call) -> AsyncIterator[str | Answer]:
        """See `Connection.stream`."""
        for attempt in count():
            reader = StreamReader(call.request_id)
            try:
                with _told(self._http, call, reader):
                    response = await self._http.send(self._request(call), stream=True)
                    try:
                        if not response.is_success:
                            await response.aread()
                        raise_for_status(response)
                        reader.request_id = response.headers.get(REQUEST_ID, call.request_id)
                        async for fragment in response.aiter_bytes():
                            for piece in reader.push(fragment):
                                yield piece
                    finally:
                        await response.aclose()
                yield reader.answer()
                return
            except ClientError as error:
                wait_s = self._retries.wait_s(attempt, error, reader)
                if wait_s is None:
                    raise
            await self._retries.backoff.sleep_async(wait_s)

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    def _request(self, call: Call) -> httpx.Request:
        watch = call.on_upload
        content = call.content if watch is None else async_pieces(call.content, watch)
        return self._http.build_request(
            call.method, call.path, content=content, headers=call.headers
        )


class _Retries:
    """Whether to ask again, and when."""

    def __init__(self, max_retries: int, backoff: Backoff) -> None:
        if max_retries < 0:
            raise ValueError(f"max_retries is {max_retries}; give 0 for none, or more")
        self.backoff = backoff
        self._max_retries = max_retries

    def wait_s(
        self, attempt: int, error: ClientError, reader: StreamReader | None = None
    ) -> float | None:
        """Seconds until the next attempt; None if there is to be none."""
        has_begun = reader is not None and reader.has_begun
        if attempt >= self._max_retries or has_begun or not error.is_transient:
            return None
        wait_s = self.backoff.wait_s(attempt, error.retry_after_s)
        if wait_s is not None:
            logger.info("request %s: %s; asking again in %.1f s", error.request_id, error, wait_s)
        return wait_s


def _timeout(given: float | httpx.Timeout) -> httpx.Timeout:
    """A number is for the answer; a service that cannot be reached shows sooner."""
    if isinstance(given, httpx.Timeout):
        return given
    return httpx.Timeout(given, connect=min(given, _CONNECT_WITHIN_S))


@contextmanager
def _told(
    http: httpx.Client | httpx.AsyncClient, call: Call, reader: StreamReader | None = None
) -> Iterator[None]:
    """Tell httpx's own errors as ours."""
    try:
        yield
    except httpx.HTTPError as error:
        raise _as_ours(error, http.base_url, call, reader) from error


def _as_ours(
    error: httpx.HTTPError, url: httpx.URL, call: Call, reader: StreamReader | None
) -> ClientError:
    kind = ConnectionFailedError
    text = f"no answer from {url} ({error}); is the service running? `anymal serve` starts one"
    if isinstance(error, httpx.TimeoutException):
        kind = TimedOutError
        text = f"{url} did not answer in time; raise the client's timeout"
    elif reader is not None and reader.has_begun:
        text = f"the line to {url} broke before the answer ended ({error}); ask again"
    return kind(text, request_id=call.request_id, is_transient=isinstance(error, _TRANSIENT))
