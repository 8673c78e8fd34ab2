"""An engine that answers one request after the other, on one thread, behind a bounded queue.

Does not batch: an engine that does can take its place behind the same protocol.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from anymal.engine.answer import answer
from anymal.engine.base import Decoder, EngineBusy, EngineClosed, Events, Ticket
from anymal.engine.events import Event, Failed, TextDelta
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.stats import EngineStats
from anymal.errors import AnymalError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A request that waits or runs."""

    prompt: Prompt
    sampling: Sampling
    emit: Callable[[Event], None]
    ticket: Ticket = field(default_factory=Ticket)


class SerialEngine:
    """Answers requests in the order they came."""

    def __init__(self, decoder: Decoder, *, max_waiting: int = 16) -> None:
        """Starts the thread.

        Args:
            decoder: The model's side; only the engine's thread uses it.
            max_waiting: Most requests that may wait behind the running one.
        """
        self._decoder = decoder
        self._max_waiting = max_waiting
        self._waiting: deque[_Job] = deque()
        self._running: _Job | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="anymal-engine", daemon=True)
        self._thread.start()

    def start(self, prompt: Prompt, sampling: Sampling, emit: Callable[[Event], None]) -> Ticket:
        """See `Engine.start`."""
        job = _Job(prompt=prompt, sampling=sampling, emit=emit)
        with self._changed:
            if self._is_closed:
                raise EngineClosed("the engine is closed; start a new one")
            self._forget_cancelled()
            if len(self._waiting) >= self._max_waiting:
                raise EngineBusy(
                    f"{len(self._waiting)} requests wait already, as many as may; try again later"
                )
            self._waiting.append(job)
            self._changed.notify()
        return job.ticket

    def submit(self, prompt: Prompt, sampling: Sampling) -> Events:
        """See `Engine.submit`."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        ticket = self.start(prompt, sampling, events.put)
        return _Stream(events, ticket)

    def stats(self) -> EngineStats:
        """See `Engine.stats`; there is no cache, and steps are not counted."""
        with self._changed:
            return EngineStats(waiting=len(self._waiting), running=int(self._running is not None))

    def close(self) -> None:
        """See `Engine.close`."""
        with self._changed:
            self._is_closed = True
            waiting, self._waiting = self._waiting, deque()
            if self._running is not None:
                self._running.ticket.cancel()
                waiting.append(self._running)
            self._changed.notify()
        for job in waiting:
            job.emit(Failed(error=EngineClosed("the engine was closed before the answer ended")))
        self._thread.join()

    def _forget_cancelled(self) -> None:
        self._waiting = deque(job for job in self._waiting if not job.ticket.is_cancelled)

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            self._answer(job)

    def _next_job(self) -> _Job | None:
        """Wait for a job; None when closed."""
        with self._changed:
            self._running = None
            self._changed.wait_for(self._has_news)
            if not self._is_closed:
                self._running = self._waiting.popleft()
            return self._running

    def _has_news(self) -> bool:
        self._forget_cancelled()
        return bool(self._waiting) or self._is_closed

    def _answer(self, job: _Job) -> None:
        try:
            for event in answer(
                self._decoder, job.prompt, job.sampling, lambda: job.ticket.is_cancelled
            ):
                if job.ticket.is_cancelled:
                    return
                job.emit(event)
        except AnymalError as error:
            job.emit(Failed(error=error))
        except Exception as error:  # the worker's edge: one bad request must not end the others
            logger.exception("an answer failed")
            job.emit(Failed(error=error))


class _Stream:
    """Events of one request until the last one; leaving early cancels."""

    def __init__(self, events: "queue.SimpleQueue[Event]", ticket: Ticket) -> None:
        self._events = events
        self._ticket = ticket
        self._has_ended = False

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
        """Give the request up, and wake whoever waits for its next event."""
        self._ticket.cancel()
        self._events.put(Failed(error=EngineClosed("the iterator over the events was closed")))

    def __del__(self) -> None:
        self._ticket.cancel()
