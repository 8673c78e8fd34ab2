"""The engine's seam: what it is given and what it gives back.

Does not run anything. Prompts come in, events go out: no HTTP, no decoding of media.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from anymal.engine.events import Event
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.stats import EngineStats
from anymal.errors import EngineError


class EngineBusy(EngineError):  # noqa: N818 - reads as the fact it states
    """As many requests wait as may wait."""


class EngineClosed(EngineError):  # noqa: N818
    """The engine takes no more requests."""


class Ticket:
    """One request's handle: lets its owner give it up, from any thread."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Give up the request: no event follows, and work on it ends within one step."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the request was given up."""
        return self._cancelled.is_set()


class Events(Iterator[Event], Protocol):
    """Events of one request until the last one; a failure is raised."""

    def close(self) -> None:
        """Give the request up, and wake whoever waits for its next event."""
        ...


class Engine(Protocol):
    """Answers prompts, some now and some later."""

    def start(self, prompt: Prompt, sampling: Sampling, emit: Callable[[Event], None]) -> Ticket:
        """Queue a prompt; `emit` is called with each event, on a thread of the engine.

        The last event is `Finished` or `Failed`. After `Ticket.cancel` none may come at all.

        Raises:
            EngineBusy: If the queue is full.
            EngineClosed: After `close`.
        """
        ...

    def submit(self, prompt: Prompt, sampling: Sampling) -> Events:
        """Queue a prompt and iterate over its events; closing the iterator cancels.

        Raises:
            EngineBusy: If the queue is full.
            EngineClosed: After `close`.
        """
        ...

    def stats(self) -> EngineStats:
        """How the engine is doing, from any thread."""
        ...

    def close(self) -> None:
        """Fail what waits, cancel what runs, and return when the engine is still."""
        ...
