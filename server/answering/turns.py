"""Whose work comes next where there are few places for it: large bodies, and media.

Does not work itself. One caller's many or slow requests do not hold up another's: the caller who
used the least time so far goes first (start-time fair queueing, Goyal, Vin and Cheng 1997).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Line:
    """One caller's requests that wait or hold a place.

    Attributes:
        used_s: Time that it held places, in seconds, since it last had neither.
        num_working: How many hold a place.
        waiting: One future for each that waits, the first come first.
    """

    used_s: float
    num_working: int = 0
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)


class Turns:
    """A few places, shared fairly. Only the event loop's thread may use it."""

    def __init__(
        self,
        places: int,
        *,
        are_shared: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """All free.

        Args:
            places: How many there are.
            are_shared: Whether there can be more than one caller. Then none holds the last of
                several places, which another's short work would have to wait for.
            clock: Monotonic seconds; by default the event loop's.
        """
        self._places = self._free = places
        self._are_shared = are_shared
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the block runs."""
        line = self._line(caller)
        await self._wait(line)
        began = self._clock()
        try:
            yield
        finally:
            line.used_s += self._clock() - began
            line.num_working -= 1
            self._give_back()

    def _line(self, caller: str) -> _Line:
        """The caller's line; a new one starts level with the one that used least."""
        if caller not in self._lines:
            least = min((line.used_s for line in self._lines.values()), default=0.0)
            self._lines[caller] = _Line(used_s=least)
        return self._lines[caller]

    async def _wait(self, line: _Line) -> None:
        if self._free and self._may_work(line):
            self._free -= 1
            line.num_working += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # the place came as its holder left
                line.num_working -= 1
                self._give_back()
            elif mine in line.waiting:
                line.waiting.remove(mine)
                self._forget_idle()
            raise

    def _give_back(self) -> None:
        """Give the free place to who used the least time."""
        self._free += 1
        waiting = [line for line in self._lines.values() if self._waits(line)]
        if waiting:
            line = min(waiting, key=lambda line: line.used_s)
            self._free -= 1
            line.num_working += 1
            line.waiting.popleft().set_result(None)
        self._forget_idle()

    def _waits(self, line: _Line) -> bool:
        """Whether somebody could take a place. Who was cancelled may not have noticed so far."""
        while line.waiting and line.waiting[0].cancelled():
            line.waiting.popleft()
        return bool(line.waiting) and self._may_work(line)

    def _may_work(self, line: _Line) -> bool:
        """Whether a place would still be left for somebody else, where it has to be."""
        return line.num_working < max(1, self._places - self._are_shared())

    def _forget_idle(self) -> None:
        """Forget who neither waits nor holds a place."""
        self._lines = {
            caller: line for caller, line in self._lines.items() if line.waiting or line.num_working
        }
