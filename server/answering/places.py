"""Who may have how many answers in progress.

Does not queue: what finds no place is refused at once. Does not count requests per minute on its
own account; `caller_limits` does.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anymal.engine.base import EngineBusy
from server.edge.caller_limits import CallerLimits
from server.edge.keys import Caller
from server.errors import RateLimited

_PER_FREE_PLACE = 3


class Places:
    """One place for each answer in progress.

    A caller may hold as many as three for each one that stays free. So one alone gets three
    quarters of them, and there is always room for one more caller (Choudhury and Hahne, Dynamic
    Queue Length Thresholds, 1998).
    """

    def __init__(
        self,
        number: int,
        *,
        limits: CallerLimits | None = None,
        are_shared: Callable[[], bool] = lambda: False,
    ) -> None:
        """All free.

        Args:
            number: How many there are.
            limits: Each caller's own.
            are_shared: Whether there can be more than one caller; one who is alone may hold all.
        """
        self.number = number
        self._limits = limits or CallerLimits()
        self.are_shared = are_shared
        self._held: Counter[str] = Counter()

    @contextmanager
    def admit(self, caller: Caller, number: int) -> Iterator[None]:
        """Hold places while the block runs.

        Args:
            caller: Whose answers they are.
            number: How many.

        Raises:
            EngineBusy: If that many are not free.
            RateLimited: If the caller would exceed its share, or a limit of its own.
        """
        self._check(caller, number)
        self._limits.charge(caller, number - 1)  # the request itself was counted at the door
        self._held[caller.name] += number
        try:
            yield
        finally:
            self._held[caller.name] -= number
            if not self._held[caller.name]:
                del self._held[caller.name]

    def _check(self, caller: Caller, number: int) -> None:
        held, free = self._held[caller.name], self.number - self._held.total()
        if caller.max_concurrent is not None and held + number > caller.max_concurrent:
            raise RateLimited(
                f"{held} answers of this key are in progress, and {number} more would exceed its "
                f"limit of {caller.max_concurrent}; wait for one to end",
                retry_after=1,
            )
        if number > free:
            raise EngineBusy(
                f"{self._held.total()} answers are in progress, and {number} more would exceed the "
                f"limit of {self.number}; try again later"
            )
        if self.are_shared() and held + number > _PER_FREE_PLACE * free:
            raise RateLimited(
                f"{held} answers of this key are in progress, and {free} places are free; the last "
                "ones are kept for other keys; wait for an answer to end",
                retry_after=1,
            )
