"""A few processes that decode media: who gets which, and what becomes of one that is ended.

Does not decide how many decode at once for whom, nor for how long: a service does, and stops what
takes too long.
"""

import signal
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anymal.decoding.child import OUT_OF_MEMORY
from anymal.decoding.ends import crashed, too_much_memory, too_slow
from anymal.decoding.fork_server import ForkServer
from anymal.decoding.job import Bounds, Job
from anymal.decoding.medium import hints_of
from anymal.decoding.process import DecodingProcess, Died, OutOfMemory
from anymal.errors import AnymalError
from anymal.media.limits import Limits
from anymal.modality import Medium

REASONS = ("stopped", "memory", "cpu", "crashed")
WORK = "anymal.decoding.medium:decode_hinted"


class PoolClosed(AnymalError):
    """Decoding has ended, or never began, because its pool is closed."""


class DecodingStopped(Exception):
    """Decoding was stopped by who had asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderStats:
    """How a pool is doing.

    Attributes:
        decodes: Media that were taken on.
        kills: Processes that ended in mid-work, by reason, one of `REASONS`.
        restarts: Processes started in the place of others.
        busy: Processes at work.
        workers: Most processes.
    """

    decodes: int
    kills: Mapping[str, int]
    restarts: int
    busy: int
    workers: int


class DecoderPool:
    """Decodes media in processes of their own; any thread may use it."""

    def __init__(
        self, workers: int, *, bounds: Bounds | None = None, forks: ForkServer | None = None
    ) -> None:
        """Starts nothing: a process starts when a medium first needs it, or with `start`.

        Args:
            workers: Most processes, one at least.
            bounds: What each may use.
            forks: Starts them, and stays open; by default one of its own, which decodes media.

        Raises:
            AnymalError: The system has no way to hand memory over.
        """
        if sys.platform == "win32":
            raise AnymalError(
                "decoding processes need Linux or macOS; set decode_workers to 0, which decodes in "
                "the process itself"
            )
        self._workers = workers
        self._bounds = bounds or Bounds()
        self._forks = forks or ForkServer(WORK)
        self._changed = threading.Condition()
        self._all: list[DecodingProcess] = []
        self._free: list[DecodingProcess] = []
        self._decodes = self._restarts = 0
        self._kills: Counter[str] = Counter()
        self._is_closed = False
        own = () if forks else (self._forks,)
        self._end = weakref.finalize(self, _close_all, self._all, own)  # if nobody closes it

    def start(self) -> None:
        """Start all processes now, so that no medium waits for one."""
        with self._changed:
            while not self._is_closed and len(self._all) < self._workers:
                self._free.append(self._started())

    def decode(self, medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Any:
        """See `anymal.decoding.medium.decode_medium`; for errors, `Errand.decode`."""
        return self.errand().decode(medium, preprocessor, modality=modality, limits=limits)

    def errand(self) -> "Errand":
        """Decoding that can be stopped."""
        return Errand(self)

    def stats(self) -> DecoderStats:
        """How it is doing."""
        with self._changed:
            return DecoderStats(
                decodes=self._decodes,
                kills=dict(self._kills),
                restarts=self._restarts,
                busy=len(self._all) - len(self._free),
                workers=self._workers,
            )

    def close(self) -> None:
        """End all processes, at work or not, and wait until they are gone."""
        with self._changed:
            self._is_closed = True
            for process in self._all:
                process.kill()
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._free) == len(self._all))
            self._free.clear()
            self._end()

    # --- for errands ----------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Most processes."""
        return self._workers

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more media."""
        return self._is_closed

    @property
    def bounds(self) -> Bounds:
        """What each process may use."""
        return self._bounds

    def take(self, errand: "Errand") -> DecodingProcess:
        """Take a process, or wait for one.

        Raises:
            DecodingStopped: The errand was stopped meanwhile.
            PoolClosed: There is none any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or errand.is_stopped or self._has_free())
            if self._is_closed:
                raise PoolClosed("the service is shutting down and decodes no more media")
            if errand.is_stopped:
                raise DecodingStopped
            process = self._free.pop() if self._free else self._started()
            if not process.is_usable:  # it died of idleness, or somebody ended it
                process = self._replaced(process)
            self._decodes += 1
            return process

    def give_back(self, process: DecodingProcess, reason: str | None) -> None:
        """Give a process back; one that is of no more use is replaced at once.

        Args:
            process: From `take`.
            reason: Why it ended, if it did.
        """
        with self._changed:
            if reason is not None:
                self._kills[reason] += 1
            is_kept = process.is_usable or self._is_closed
            self._free.append(process if is_kept else self._replaced(process))
            self._changed.notify_all()

    def wake(self) -> None:
        """Have waiting errands look whether they are stopped."""
        with self._changed:
            self._changed.notify_all()

    # --- the lock is held -----------------------------------------------------------------------

    def _has_free(self) -> bool:
        return bool(self._free) or len(self._all) < self._workers

    def _started(self) -> DecodingProcess:
        process = DecodingProcess(self._forks, self._bounds)
        self._all.append(process)
        return process

    def _replaced(self, process: DecodingProcess) -> DecodingProcess:
        self._all.remove(process)
        process.close()
        self._restarts += 1
        return self._started()


class Errand:
    """The media of one caller, decoded one after the other until they are done or it is stopped.

    Attributes:
        is_stopped: Whether it was.
    """

    def __init__(self, pool: DecoderPool) -> None:
        """See `DecoderPool.errand`."""
        self.is_stopped = False
        self._pool = pool
        self._lock = threading.Lock()
        self._process: DecodingProcess | None = None

    def decode(self, medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Any:
        """Decode a medium; waits for a free process.

        Args:
            medium: As for `anymal.decoding.medium.decode_medium`, whose signature this has.
            preprocessor: The encoder's; only its hints are sent.
            modality: Name of the row that decodes.
            limits: How much the medium may hold.

        Returns:
            The signal, equal to that of `decode_medium` bit for bit.

        Raises:
            MediaError: It cannot be decoded. `MediaTooLarge` if it takes more memory or processor
                time than the bounds allow, `MediaCorrupt` if it ends the process in another way.
            DecodingStopped: `stop` was called.
            PoolClosed: The pool is closed, or was meanwhile.
            RuntimeError: A process cannot be started.
        """
        hints = hints_of(preprocessor, modality=modality)
        job = Job(medium=medium, limits=limits, modality=modality, hints=hints)
        process = self._pool.take(self)
        reason = None
        try:
            self._hold(process)
            return process.do(job)
        except OutOfMemory as error:
            reason = "memory"
            raise too_much_memory(medium.name, self._pool.bounds) from error
        except Died as death:
            reason = self._reason(death)
            raise self._told(death, reason, medium.name) from death
        finally:
            self._hold(None)
            self._pool.give_back(process, reason)

    def stop(self) -> None:
        """Decode no more, and end at once what is being decoded; may be called from any thread."""
        with self._lock:
            self.is_stopped = True
            if self._process is not None:
                self._process.kill()
        self._pool.wake()

    def _hold(self, process: DecodingProcess | None) -> None:
        """Let `stop` know what it has to end."""
        with self._lock:
            if process is not None and self.is_stopped:
                raise DecodingStopped
            self._process = process

    def _reason(self, death: Died) -> str:
        """The word that the metrics have for it."""
        if self.is_stopped or self._pool.is_closed:
            return "stopped"
        return {-signal.SIGXCPU: "cpu", OUT_OF_MEMORY: "memory"}.get(death.code, "crashed")

    def _told(self, death: Died, reason: str, name: str) -> Exception:
        """The error that the caller gets."""
        if self.is_stopped:
            return DecodingStopped()
        if self._pool.is_closed:
            return PoolClosed("the service is shutting down and ended the decoding of media")
        told = {"memory": too_much_memory, "cpu": too_slow}.get(reason)
        return crashed(name, death) if told is None else told(name, self._pool.bounds)


def _close_all(processes: list[DecodingProcess], servers: Iterable[ForkServer]) -> None:
    while processes:
        processes.pop().close()
    for server in servers:
        server.close()
