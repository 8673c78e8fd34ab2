"""A service on a port, from start to shutdown.

Does not read settings from anywhere, and knows no routes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from server.edge.connection import connection_class
from server.settings import Settings

logger = logging.getLogger(__name__)

# Seconds that cancelled requests get to end.
_CANCEL_S = 3


class Service(uvicorn.Server):
    """A server that drains: when stopped, it first finishes its running answers.

    A plain uvicorn closes its port at once; callers would get a refused connection instead of a
    503, and a load balancer would learn nothing from `/readyz`.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Configures uvicorn.

        Args:
            app: From `create_app`.
            settings: The same settings.
            clock: Returns monotonic seconds.
        """
        config = uvicorn.Config(
            app,
            http=connection_class(
                head_seconds=settings.head_seconds, stall_seconds=settings.stall_seconds
            ),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=_CANCEL_S,
        )
        super().__init__(config)
        self._drain = app.state.drain
        self._worker = app.state.worker
        self._drain_seconds = settings.drain_seconds
        self._clock = clock
        self._deadline: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first begins the drain, the second ends it."""
        if self._drain.is_draining:
            self.should_exit = True
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: see whether the drain is over."""
        if self._drain.is_draining and not self.should_exit:
            await self._see_drain()
        return await super().on_tick(counter)

    async def _see_drain(self) -> None:
        """Exit once no request is running, or the time is over."""
        now = self._clock()
        if self._deadline is None:
            self._deadline = now + self._drain_seconds
            logger.info("stopping once %d requests are answered", self._drain.num_running)
        if self._drain.num_running and now >= self._deadline:
            logger.warning("%d requests were not answered in time", self._drain.num_running)
            # Open streams then end with an error event.
            await asyncio.to_thread(self._worker.close)
            self.should_exit = True
        elif not self._drain.num_running:
            self.should_exit = True
