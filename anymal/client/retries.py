"""When a request is sent again, and after what wait.

Does not send anything. `anymal.client.errors` says of each error whether the same request may be
answered later. A stream is not retried once its first event has arrived.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType

import anyio
import httpx

from anymal.client.errors import ClientError, ConnectionFailedError, TimedOutError
from anymal.client.requests import Call
from anymal.client.stream import StreamReader

logger = logging.getLogger(__name__)

# Not read and write timeouts: a slow service is already working, and would do the work twice.
_TRANSIENT = (httpx.ConnectTimeout, httpx.NetworkError, httpx.RemoteProtocolError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before a retry: doubling waits with jitter, or what the service asks for.

    Attributes:
        first_s: The first wait; each further one is twice as long.
        longest_s: No wait is longer.
        longest_asked_s: If the service asks for a longer wait than this, there is no retry.
        draw: Returns a random number in [0, 1). It shortens each wait by up to half, so that
            clients which failed together do not retry together.
        sleep: Waits some seconds.
        sleep_async: The same, for async code.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    longest_asked_s: float = 60.0
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = anyio.sleep

    def wait_s(self, num_failed: int, asked_s: float | None) -> float | None:
        """Seconds to wait, never fewer than asked for; None if the service asks for too many.

        Args:
            num_failed: How many attempts failed before the latest one.
            asked_s: Seconds that the service asked for, if it did.
        """
        doubled = self.first_s * 2.0 ** min(num_failed, 64)  # a float ends at 2^1024
        usual = min(doubled, self.longest_s) * (1 - self.draw() / 2)
        if asked_s is None:
            return usual
        # Jitter only lengthens what the service asked for.
        return None if asked_s > self.longest_asked_s else asked_s + self.first_s * self.draw()


class Retries:
    """How often requests to one service are retried, and when."""

    def __init__(self, url: httpx.URL, max_retries: int, backoff: Backoff) -> None:
        if max_retries < 0:
            raise ValueError(f"max_retries is {max_retries}; give 0 for none, or more")
        self.url = url
        self.backoff = backoff
        self._max_retries = max_retries

    def attempt(self, call: Call, *, is_repeatable: bool = True) -> "Attempt":
        """Wrap one request; see `Attempt`."""
        return Attempt(call, self, num_left=self._max_retries if is_repeatable else 0)


class Attempt:
    """A context manager around each attempt to send one request; the next one enters it again.

    It translates httpx's errors. If a retry may help, it waits and suppresses the error. So the
    request belongs into `while True: with attempt: ... return`.
    """

    def __init__(self, call: Call, retries: Retries, *, num_left: int) -> None:
        self._call = call
        self._retries = retries
        self._num_left = num_left
        self._num_failed = 0
        self._reader = StreamReader(call.request_id)

    def __enter__(self) -> StreamReader:
        """Begin an attempt, with a new reader for its stream."""
        self._reader = StreamReader(self._call.request_id)
        return self._reader

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        wait_s = self._wait_s(error)
        if wait_s is None:
            return False
        self._retries.backoff.sleep(wait_s)
        return True

    async def __aenter__(self) -> StreamReader:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        wait_s = self._wait_s(error)
        if wait_s is None:
            return False
        await self._retries.backoff.sleep_async(wait_s)
        return True

    def _wait_s(self, error: BaseException | None) -> float | None:
        """Seconds until the next attempt; None if there is none, so that the error propagates.

        Raises:
            ClientError: In place of an error of httpx that propagates.
        """
        if not isinstance(error, ClientError | httpx.HTTPError):
            return None
        ours = error if isinstance(error, ClientError) else self._translated(error)
        wait_s = None
        if self._num_left > 0 and ours.is_transient and not self._reader.has_begun:
            wait_s = self._retries.backoff.wait_s(self._num_failed, ours.retry_after_s)
        if wait_s is None:
            if ours is not error:
                raise ours from error
            return None
        logger.info("request %s: %s; asking again in %.1f s", ours.request_id, ours, wait_s)
        self._num_left -= 1
        self._num_failed += 1
        return wait_s

    def _translated(self, error: httpx.HTTPError) -> ClientError:
        """An error of httpx as one of the client's."""
        url, kind = self._retries.url, ConnectionFailedError
        text = f"no answer from {url} ({error}); is the service running? `anymal serve` starts one"
        if isinstance(error, httpx.TimeoutException):
            kind = TimedOutError
            text = f"{url} did not answer in time; raise the client's timeout"
        elif self._reader.has_begun:
            text = f"the line to {url} broke before the answer ended ({error}); ask again"
        return kind(
            text, request_id=self._call.request_id, is_transient=isinstance(error, _TRANSIENT)
        )
