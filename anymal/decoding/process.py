"""The parent's end of one decoding process: starts it, hands it jobs, and ends it.

Does not choose which process takes a job; `pool` does. One thread uses it at a time; `kill` may be
called from any.
"""

import logging
import os
import signal
import warnings
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.reduction import recv_handle
from typing import Any

from anymal.decoding.child import READY
from anymal.decoding.fork_server import ForkServer
from anymal.decoding.job import Bounds, Job, Outcome
from anymal.decoding.shared import unpack

logger = logging.getLogger(__name__)


class Died(Exception):
    """The process ended before its job.

    Attributes:
        code: How it ended: the number of the signal, negative, or its exit status.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        """`signal SIGSEGV`, or `status 1`."""
        if self.code >= 0:
            return f"status {self.code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-self.code).name}"
        return f"signal {-self.code}"


class OutOfMemory(Exception):
    """The job needed more memory than the process may hold."""


class DecodingProcess:
    """A process that decodes one medium after the other."""

    def __init__(self, forks: ForkServer, bounds: Bounds) -> None:
        """Starts it, and does not wait until it is ready.

        Args:
            forks: Starts it.
            bounds: What it may use.
        """
        self._line, theirs = Pipe()
        with theirs:
            self._fork = forks.fork(theirs, bounds)
        self._is_ready = False
        self._is_spent = False
        self._warned: dict[Any, Any] = {}  # so that a warning is shown once, as in one process

    @property
    def pid(self) -> int:
        """Its number."""
        return self._fork.pid

    @property
    def is_usable(self) -> bool:
        """Whether it can take a job."""
        return not self._is_spent and not self._fork.has_ended

    def do(self, job: Job) -> Any:
        """Have a medium decoded.

        Returns:
            The signal; its arrays lie in memory that goes when they do.

        Raises:
            Died: It ended before it was done.
            OutOfMemory: The job needed too much of it.
            RuntimeError: It could not start.
            Exception: What decoding raised, such as `MediaError`.
        """
        self._await_start()
        memory = None
        try:
            self._line.send(job)
            outcome: Outcome = self._line.recv()
            if outcome.signal is not None:
                memory = recv_handle(self._line)
        except (EOFError, OSError) as error:
            raise Died(self._end()) from error
        except BaseException:  # what is still on its way would be taken for the next job's
            self.kill()
            raise
        try:
            self._pass_on(outcome)
            if outcome.signal is not None and memory is not None:
                return unpack(outcome.signal, memory)
        finally:
            if memory is not None:
                os.close(memory)
        if outcome.ran_out_of_memory:
            self._is_spent = True  # what it still holds is anybody's guess
            raise OutOfMemory from outcome.error
        assert outcome.error is not None, "a job gives a signal or an error"
        raise outcome.error

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._is_spent = True
        self._fork.kill()

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        self._end()
        self._line.close()

    def _await_start(self) -> None:
        """Wait until it has imported what it needs."""
        if self._is_ready:
            return
        try:
            self._is_ready = self._line.recv() == READY
        except (EOFError, OSError) as error:
            was_killed = self._is_spent
            died = Died(self._end())
            if was_killed or died.code < 0:
                raise died from error
            raise RuntimeError(
                f"a decoding process did not start ({died}); standard error has its last words"
            ) from error

    def _end(self) -> int:
        """Wait for its end, which has begun; returns how it ended."""
        self._is_spent = True
        return self._fork.wait()

    def _pass_on(self, outcome: Outcome) -> None:
        """Write what the job logged and warned of, as if it had run here."""
        for record in outcome.records:
            owner = logging.getLogger(record.name)
            if owner.isEnabledFor(record.levelno):
                owner.handle(record)
        if outcome.places and not outcome.ran_out_of_memory:
            name = type(outcome.error).__name__
            logger.error("%s in a decoding process, at %s", name, "; ".join(outcome.places))
        for each in outcome.warned:
            warnings.warn_explicit(
                each.message, each.category, each.filename, each.lineno, registry=self._warned
            )
