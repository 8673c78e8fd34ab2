"""How long a client waits before it asks again.

Does not decide what is worth asking again (`anymal.client.errors` does), and sends nothing.
"""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling waits, each shortened by up to half by chance, or what the service asks for.

    Attributes:
        first_s: The first wait; each further one is twice as long.
        longest_s: No wait is longer.
        longest_asked_s: A service that wants to be left alone for longer is not asked again.
        draw: A number in [0, 1) by chance, so that clients turned away together do not come
            back together.
        sleep: Waits some seconds.
        sleep_async: The same, for async code.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    longest_asked_s: float = 60.0
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = anyio.sleep

    def wait_s(self, attempt: int, asked_s: float | None) -> float | None:
        """Tell how long to wait.

        Args:
            attempt: How many attempts failed before the one that failed just now.
            asked_s: Seconds that the service asked for, if it did.

        Returns:
            Seconds, never fewer than asked for; None where the service asks for too many.
        """
        doubled = self.first_s * 2.0 ** min(attempt, 64)  # a float ends at 2^1024
        usual = min(doubled, self.longest_s) * (1 - self.draw() / 2)
        if asked_s is None:
            return usual
        # Chance only lengthens what the service asked for.
        return None if asked_s > self.longest_asked_s else asked_s + self.first_s * self.draw()


def asked_wait_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Read `Retry-After`, which is a number of seconds or a date.

    Args:
        headers: Of a response, found whatever their case.
        now: Seconds since 1970, for a date in a response without a date of its own.

    Returns:
        Seconds, 0 or more; None where nothing was asked for, or nothing that can be read.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _seconds_since_1970(text)
    if until is None:
        return None
    # By the service's own clock, if it tells: ours may be wrong.
    sent = _seconds_since_1970(headers.get("date", ""))
    return max(0.0, until - (now() if sent is None else sent))


def _seconds_since_1970(text: str) -> float | None:
    """A date of HTTP."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else datetime.combine(date.date(), date.time(), UTC)).timestamp()
