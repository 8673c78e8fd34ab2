"""The engine: one thread steps all running requests together; they join and leave between steps.

Does not know tensors: a runner computes, the scheduler decides, replies make events. Torch-free.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter

from anymal.engine.arrival import Arrival, requests_of
from anymal.engine.base import EngineBusy, EngineClosed, Ticket
from anymal.engine.blocks import BLOCK_SIZE, Blocks
from anymal.engine.events import Event, Failed, Finished
from anymal.engine.given import Given
from anymal.engine.prompt import Prompt
from anymal.engine.reply import Drawn, Result
from anymal.engine.request import Request, Work
from anymal.engine.runner import Runner
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget, Scheduler
from anymal.engine.score import ToScore
from anymal.engine.stats import EngineStats, Step
from anymal.engine.stream import Stream
from anymal.errors import AnymalError

logger = logging.getLogger(__name__)


class BatchingEngine:
    """See `anymal.engine.base.Engine`."""

    def __init__(
        self,
        runner: Runner,
        *,
        max_waiting: int = 16,
        budget: Budget | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            runner: The model's side.
            max_waiting: Most requests that may wait to be admitted.
            budget: How much one step may hold.
            on_step: Called after each step, on the engine's thread.
        """
        self._runner = runner
        self._max_waiting = max_waiting
        self._budget = budget or Budget()
        self._on_step = on_step
        self._scheduler = Scheduler(Blocks(runner.num_blocks), self._budget)
        self._num_steps = self._num_tokens = 0
        self._arrivals: deque[Arrival] = deque()
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="anymal-engine", daemon=True)
        self._thread.start()

    # --- any thread -----------------------------------------------------------------------------

    def start(
        self, prompt: Prompt, wanted: Sampling | Given | ToScore, emit: Callable[[Event], None]
    ) -> Ticket:
        """See `Engine.start`."""
        arrival = Arrival(prompt=prompt, wanted=wanted, emit=emit)
        with self._changed:
            if self._is_closed:
                raise EngineClosed("the engine is closed; start a new one")
            if (number := self._num_waiting()) >= self._max_waiting:
                raise EngineBusy(
                    f"{number} requests are waiting, and the limit is {self._max_waiting}; "
                    "try again later"
                )
            self._arrivals.append(arrival)
            self._changed.notify()
        return arrival.ticket

    def submit(self, prompt: Prompt, wanted: Sampling | Given | ToScore) -> Stream:
        """See `Engine.submit`."""
        return Stream(lambda emit: self.start(prompt, wanted, emit))

    def stats(self) -> EngineStats:
        """See `Engine.stats`."""
        scheduler, size = self._scheduler, self._runner.block_bytes
        with self._changed:
            num_waiting = self._num_waiting()
        return EngineStats(
            waiting=num_waiting,
            running=len(scheduler.running),
            cache_bytes_used=scheduler.blocks.num_filled * size,
            cache_bytes_total=scheduler.blocks.total * size,
            prefix_tokens_queried=scheduler.num_queried,
            prefix_tokens_hit=scheduler.num_hit,
            preemptions=scheduler.num_preemptions,
            steps=self._num_steps,
            batch_tokens=self._num_tokens,
        )

    def close(self) -> None:
        """See `Engine.close`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _num_waiting(self) -> int:
        """Arrivals that wait and were not given up; the lock is held."""
        waiting: list[Request | Arrival] = [*self._arrivals, *list(self._scheduler.waiting)]
        return len({each.ticket for each in waiting if not each.ticket.is_cancelled})

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while (arrivals := self._wait()) is not None:
            try:
                self._turn(arrivals)
            except Exception as error:  # the thread's edge: the engine survives its own bugs
                logger.exception("the engine failed and starts again without its requests")
                self._abandon(error)
        self._abandon(EngineClosed("the engine was closed before the answer ended"))

    def _wait(self) -> list[Arrival] | None:
        """Wait until there is something to do; returns what is new, or None when closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._arrivals or self._is_closed or not self._scheduler.is_idle
            )
            if self._is_closed:
                return None
            # They leave the queue one by one as they are read, so that an exception loses none.
            return list(self._arrivals)

    def _turn(self, arrivals: Sequence[Arrival]) -> None:
        """Take requests in, and go one step."""
        for arrival in arrivals:
            self._take_in(arrival)
        self._scheduler.drop_cancelled()
        if works := self._scheduler.plan():
            self._step(works)

    def _take_in(self, arrival: Arrival) -> None:
        with self._changed:
            self._arrivals.remove(arrival)
        try:
            most = self._scheduler.blocks.total * BLOCK_SIZE
            for request in requests_of(arrival, self._runner, most_positions=most):
                self._scheduler.add(request)
        except AnymalError as error:
            _emit(arrival.emit, Failed(error=error))
        except Exception as error:  # one bad request must not end the others
            logger.exception("a request could not be read")
            _emit(arrival.emit, Failed(error=error))

    def _step(self, works: Sequence[Work]) -> None:
        began = perf_counter()
        try:
            results = self._runner.step(works)
        except Exception as error:  # the step's requests fail; those that wait go on
            logger.exception("a step of %d requests failed", len(works))
            for work in works:
                self._fail(work.request, error)
            return
        num_tokens = sum(work.stop - work.start for work in works)
        self._num_steps += 1
        self._num_tokens += num_tokens
        for work, result in zip(works, results, strict=True):
            self._advance(work, result)
        seconds = perf_counter() - began
        self._scheduler.cost.note(num_tokens, seconds)
        if self._on_step is not None:
            self._on_step(Step(num_sequences=len(works), num_tokens=num_tokens, seconds=seconds))

    def _advance(self, work: Work, result: Result | Exception | None) -> None:
        """Apply the result of one request's stretch."""
        request, scheduler = work.request, self._scheduler
        if isinstance(result, Exception):
            logger.error("a request failed in a step: %s", result)
            self._fail(request, result)
            return
        scheduler.computed(work)
        if result is None or request.ticket.is_cancelled:
            return
        try:
            events = request.reply.push(
                result, limit=request.limit, num_cached=request.num_cached or 0
            )
        except Exception as error:  # one answer's failure must not end the others
            logger.exception("the events of an answer could not be made")
            self._fail(request, error)
            return
        if isinstance(result, Drawn) and not (events and isinstance(events[-1], Finished)):
            scheduler.append(request, result.id)
        else:
            scheduler.finish(request)
        _emit(request.emit, *events)

    def _fail(self, request: Request, error: Exception) -> None:
        """End a request whose blocks may hold anything."""
        blocks = self._scheduler.blocks
        own = [block for block in request.blocks if blocks.is_held_once(block)]
        blocks.forget(request.blocks)
        self._runner.scrub(own)
        self._scheduler.finish(request)
        _emit(request.emit, Failed(error=error))

    def _abandon(self, error: Exception) -> None:
        """Fail all requests, and forget all blocks."""
        with self._changed:
            arrivals, self._arrivals = self._arrivals, deque()
        scheduler = self._scheduler
        requests: list[Request | Arrival] = [*scheduler.running, *scheduler.waiting, *arrivals]
        self._scheduler = Scheduler(Blocks(self._runner.num_blocks), self._budget)
        for request in requests:
            if not request.ticket.is_cancelled:
                _emit(request.emit, Failed(error=error))


def _emit(emit: Callable[[Event], None], *events: Event) -> None:
    """Pass events on; an exception in one listener does not affect other requests."""
    try:
        for event in events:
            emit(event)
    except Exception:
        logger.exception("a listener failed on an event")
