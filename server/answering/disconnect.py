"""Work that ends when its client disconnects.

Does not send a response: no client is left to read it.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

Result = TypeVar("Result")


class ClientGone(Exception):
    """The client closed the connection before its answer was ready."""


async def unless_disconnected(receive: Receive, work: Awaitable[Result]) -> Result:
    """Run some work, and cancel it if the client disconnects first.

    `Request.is_disconnected` checks only when called, and no code runs to call it while a token is
    computed.

    Args:
        receive: The request's ASGI channel; its body must have been read.
        work: Cancelled if the client disconnects first.

    Returns:
        What the work returned.

    Raises:
        ClientGone: If the client disconnected first.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait({task, gone})


async def _disconnected(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
