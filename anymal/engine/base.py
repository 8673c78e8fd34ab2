"""The engine's interface: prompts and options in, events out.

Does not run anything, and knows neither HTTP nor media.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from anymal.engine.events import Event
from anymal.engine.given import Given
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.score import ToScore
from anymal.engine.stats import EngineStats
from anymal.errors import EngineError


class EngineBusy(EngineError):
    """The queue is full."""


class EngineClosed(EngineError):
    """The engine takes no more requests."""


class Ticket:
    """One request's handle: cancels it, from any thread."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Cancel the request: no event follows, and work on it ends within one step."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the request was cancelled."""
        return self._cancelled.is_set()


class Events(Iterator[Event], Protocol):
    """Events of one request until the last one; a failure is raised."""

    def close(self) -> None:
        """Cancel the request, and wake a thread that waits for its next event."""
        ...


class Engine(Protocol):
    """Answers prompts, some now and some later; or tells how likely given answers are."""

    def start(
        self, prompt: Prompt, wanted: Sampling | Given | ToScore, emit: Callable[[Event], None]
    ) -> Ticket:
        """Queue a prompt; `emit` is called with each event, on a thread of the engine.

        The last event is `Finished` or `Failed`, or `Likelihoods` of given answers, or `Score`,
        which is the only one then. After `Ticket.cancel` none may come at all.

        Raises:
            EngineBusy: If the queue is full.
            EngineClosed: After `close`.
        """
        ...

    def submit(self, prompt: Prompt, wanted: Sampling | Given | ToScore) -> Events:
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
