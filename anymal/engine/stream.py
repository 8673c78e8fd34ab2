"""The events of one request as an iterator, for callers that prefer it to a callback.

Does not start requests; engines do.
"""

import queue
from collections.abc import Callable, Iterator

from anymal.engine.base import EngineClosed, Ticket
from anymal.engine.events import Event, Failed, TextDelta


class Stream:
    """See `anymal.engine.base.Events`; closing or dropping it early cancels the request."""

    def __init__(self, start: Callable[[Callable[[Event], None]], Ticket]) -> None:
        """Starts the request.

        Args:
            start: Starts it, given a callback for its events.
        """
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._has_ended = False
        self._ticket = start(self._events.put)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """The next event; a failure is raised."""
        if self._has_ended:
            raise StopIteration
        event = self._events.get()
        self._has_ended = not isinstance(event, TextDelta)
        if isinstance(event, Failed):
            raise event.error
        return event

    def close(self) -> None:
        """Cancel the request, and wake a thread that waits for its next event."""
        self._ticket.cancel()
        self._events.put(Failed(error=EngineClosed("the iterator over the events was closed")))

    def __del__(self) -> None:
        if hasattr(self, "_ticket"):  # it has none if the engine refused it
            self._ticket.cancel()
