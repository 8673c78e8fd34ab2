"""Work that ends when its client hangs up.

Does not answer: nobody is left to read it.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

Result = TypeVar("Result")


class ClientGone(Exception):  # noqa: N818 - no error: the client changed its mind
    """The client closed the connection before its answer was ready."""


async def unless_disconnected(receive: Receive, work: Awaitable[Result]) -> Result:
    """Race some work against the client's hanging up.

    `Request.is_disconnected` only looks when asked, and nobody would ask while a token is computed.

    Args:
        receive: The request's ASGI channel; its body must have been read.
        work: What to do meanwhile; cancelled when the client goes first.

    Returns:
        What the work returned.

    Raises:
        ClientGone: If the client went first.
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
    """Return when the client hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
