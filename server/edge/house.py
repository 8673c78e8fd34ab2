"""How many bytes of bodies are in the house at once, of all requests together.

Does not bound a single body (`body_limit` does) and does not read one: it counts what the app
behind it reads, unpacked. Bytes are given back when their request ends.
"""

from collections import Counter
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.edge.keys import Caller
from server.errors import HouseFull, HouseShareFull, response_for

_PER_FREE_BYTE = 2  # what one of several callers may hold for each byte that stays free


class House:
    """Counts the bytes of bodies, and who sent them.

    A body may take at most half of what is free, so the last ones are never taken by large bodies,
    and a small one finds room beside them (Choudhury and Hahne, Dynamic Queue Length Thresholds,
    1998).
    """

    def __init__(self, num_bytes: int, *, are_shared: Callable[[], bool] = lambda: False) -> None:
        """Empty.

        Args:
            num_bytes: How many it holds.
            are_shared: Whether there can be more than one caller; one who is alone may hold all.
        """
        self._num_bytes = num_bytes
        self._are_shared = are_shared
        self._held: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self._num_bytes - self._held.total()

    def take(self, caller: str, before: int, more: int) -> None:
        """Hold more bytes of a body.

        Args:
            caller: Whose body.
            before: How many of it are held already.
            more: How many to hold besides.

        Raises:
            HouseFull: If this would be too many.
            HouseShareFull: If it would be too many of the caller's.
        """
        size, left = before + more, self.free - more
        if size > left:
            raise HouseFull(
                f"bodies of {self._held.total():,} bytes are being answered, and there is no room "
                f"for one of {size:,}; try again later, or send smaller media"
            )
        if self._are_shared() and self._held[caller] + more > _PER_FREE_BYTE * left:
            raise HouseShareFull(
                f"requests of this key hold {self._held[caller]:,} bytes of bodies, and {left:,} "
                "bytes are kept for other keys; wait for an answer to end"
            )
        self._held[caller] += more

    def give_back(self, caller: str, number: int) -> None:
        """Hold no longer what `take` took."""
        self._held[caller] -= number
        if not self._held[caller]:
            del self._held[caller]


class HouseLimit:
    """Refuses bodies for which the house has no room."""

    def __init__(self, app: ASGIApp, *, house: House) -> None:
        """Wraps an app.

        Args:
            app: Reads the bodies.
            house: Counts them.
        """
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self._house, scope["state"]["caller"])
        declared = Headers(scope=scope).get("content-length", "")
        try:
            if declared.isdecimal():
                body.grow_to(int(declared))
        except (HouseFull, HouseShareFull) as error:
            await response_for(error)(scope, receive, send)
            return
        try:
            await self._app(scope, body.counted(receive), send)
        finally:
            body.leave()


class _Body:
    """The bytes of one body that are held."""

    def __init__(self, house: House, caller: Caller) -> None:
        self._house = house
        self._caller = caller.name
        self._held = 0
        self._read = 0

    def grow_to(self, number: int) -> None:
        """Hold at least so many bytes."""
        if number > self._held:
            self._house.take(self._caller, self._held, number - self._held)
            self._held = number

    def counted(self, receive: Receive) -> Receive:
        """Count the body while it is read; its length may not have been declared."""

        async def receive_counted() -> Message:
            message = await receive()
            self._read += len(message.get("body", b""))
            self.grow_to(self._read)
            return message

        return receive_counted

    def leave(self) -> None:
        """Give all of it back."""
        self._house.give_back(self._caller, self._held)
