"""Fair turns on a machine that is shared: who goes first changes, and a probe shows disturbance.

Does not time contenders; each benchmark knows what its own turn is.
"""

import time
from collections.abc import Sequence

UNSTEADY = 1.25  # times the fastest probe of all


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of one round: each name begins in its turn, so that none always follows another.

    Args:
        names: Of the contenders.
        number: Of the round.

    Returns:
        The same names.
    """
    first = number % len(names)
    return [*names[first:], *names[:first]]


def probe_ms() -> float:
    """Milliseconds of the product of two 1024 x 1024 matrices, the best of three."""
    import torch  # here, because a load on a service needs none

    left = right = torch.ones(1024, 1024)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return round(1000 * min(times), 2)


def unsteady(probes: Sequence[float]) -> str:
    """How many turns had something else beside them, such as `2 of 20`."""
    slow = sum(probe > UNSTEADY * min(probes) for probe in probes)
    return f"{slow} of {len(probes)}"
