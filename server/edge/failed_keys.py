"""Wrong keys by the address they came from, so that guessing gets slow and is noticed.

Does not know which keys are right, and never refuses one that is.
"""

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from server.edge.caller_limits import TokenBucket

_PER_MINUTE = 10
_MOST_ADDRESSES = 4096
_IPV6_PREFIX = 64  # one customer's network; its addresses cost nothing


class FailedKeys:
    """How many wrong keys each address may still try."""

    def __init__(
        self,
        *,
        count: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts without any.

        Args:
            count: Called at every wrong key.
            clock: Returns monotonic seconds.
        """
        self._count = count
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}  # the address that failed last stands last

    def note(self, address: str) -> float:
        """Count a wrong key.

        Args:
            address: Where it came from.

        Returns:
            0, or the seconds until this address may try again.
        """
        self._count()
        network = _network(address)
        bucket = self._buckets.pop(network, None) or TokenBucket(_PER_MINUTE, self._clock)
        self._buckets[network] = bucket
        if len(self._buckets) > _MOST_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take()


def _network(address: str) -> str:
    """What counts as one address."""
    try:
        found = ip_address(address)
    except ValueError:  # a socket of this machine has none
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found.packed, _IPV6_PREFIX), strict=False))
    return str(found)
