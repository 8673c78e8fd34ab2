"""Each caller's limits: answers per minute, and requests at once.

Does not know keys or HTTP: it identifies callers by name.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.edge.keys import Caller
from server.errors import RateLimited

_MINUTE_S = 60.0


class TokenBucket:
    """Fills at a steady rate up to a minute's worth; every answer takes one token out."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        """Starts full.

        Args:
            per_minute: Requests a minute; all of them may come at once after a quiet minute.
            clock: Returns monotonic seconds.
        """
        self.per_minute = per_minute
        self._clock = clock
        self._tokens = max(1.0, per_minute)
        self._filled_at = clock()

    def take(self, number: int = 1) -> float:
        """Take tokens.

        Args:
            number: How many; more than a minute's worth are never there.

        Returns:
            0 if there were as many, else the seconds until there will be.
        """
        now, per_second = self._clock(), self.per_minute / _MINUTE_S
        grown = self._tokens + (now - self._filled_at) * per_second
        self._tokens, self._filled_at = min(max(1.0, self.per_minute), grown), now
        if self._tokens < number:
            return (number - self._tokens) / per_second
        self._tokens -= number
        return 0.0


class CallerLimits:
    """Applies each caller's own limits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._running: Counter[str] = Counter()

    @contextmanager
    def admit(self, caller: Caller) -> Iterator[None]:
        """Count a request as running while the block runs.

        Raises:
            RateLimited: If the caller sends too many requests, or has too many running.
        """
        most = caller.max_concurrent
        if most is not None and self._running[caller.name] >= most:
            raise RateLimited(
                f"{most} requests of this key are running, and the limit is {most}; "
                "wait for one to end",
                retry_after=1,
            )
        self.charge(caller, 1)
        self._running[caller.name] += 1
        try:
            yield
        finally:
            self._running[caller.name] -= 1
            if not self._running[caller.name]:
                del self._running[caller.name]

    def charge(self, caller: Caller, number: int) -> None:
        """Count answers against their caller's rate.

        Raises:
            RateLimited: If the caller asks for more than it may; nothing is counted then.
        """
        rate = caller.requests_per_minute
        if rate is None or number == 0:
            return
        bucket = self._buckets.get(caller.name)
        if bucket is None or bucket.per_minute != rate:  # the key is new, or was changed
            bucket = self._buckets[caller.name] = TokenBucket(rate, self._clock)
        if (wait_s := bucket.take(number)) > 0:
            raise RateLimited(
                f"this key may send {rate:g} requests a minute (n answers count as n); "
                f"try again in {wait_s:.1f} s",
                retry_after=wait_s,
            )
