"""The parent's end of a fork server and of the processes that it forked.

Does not know what they do; see `fork_program` for why there is one.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle

from anymal.decoding.fork_program import Command
from anymal.decoding.job import Bounds

# glibc keeps this much freed memory. By default it gives it all back after each medium, and taking
# it again costs as much as decoding a photograph.
_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}


class ForkServer:
    """Forks processes that decode; any thread may use it."""

    def __init__(self, work: str) -> None:
        """Starts nothing before the first fork.

        Args:
            work: The function that decodes, as `module:name`.
        """
        self._work = work
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._program: _Program | None = None

    def fork(self, line: Connection, bounds: Bounds) -> "Fork":
        """Fork a process; does not wait until there is one.

        Args:
            line: The process's end of its line; the caller may close it afterwards.
            bounds: What it may use.
        """
        with self._lock:
            if self._program is None or not self._program.lives:
                self.close()
                self._program = _Program(self._work)
            return Fork(self._program, next(self._numbers), line, bounds)

    def close(self) -> None:
        """End the server, and every process that it forked."""
        if self._program is not None:
            self._program.close()
            self._program = None


class _Program:
    """A fork server that runs, or did."""

    def __init__(self, work: str) -> None:
        self._commands, theirs = Pipe()
        self._lock = threading.Lock()
        program = ["-m", "anymal.decoding.fork_program", str(theirs.fileno()), work]
        with theirs:
            self._process = subprocess.Popen(
                # -P: `sys.path` is the parent's, not the folder that this happens to run in.
                [sys.executable, "-P", *program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | _KEPT,
            )

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def tell(self, command: Command, *descriptors: int) -> None:
        """Give a command. A server that has ended took its processes along, and obeys no more."""
        with self._lock, suppress(BrokenPipeError, ConnectionResetError):
            self._commands.send(command)
            for each in descriptors:
                send_handle(self._commands, each, self._process.pid)

    def code(self) -> int:
        """How it ended, which has begun."""
        return self._process.wait()

    def close(self) -> None:
        with self._lock:
            self._commands.close()
        self._process.kill()
        self._process.wait()


class Fork:
    """A process that a server forked, or will before long.

    One thread uses it at a time; `kill` may be called from any.
    """

    def __init__(self, program: _Program, number: int, line: Connection, bounds: Bounds) -> None:
        """See `ForkServer.fork`."""
        self._program = program
        self._number = number
        self._pid: int | None = None
        self._code: int | None = None
        self._status, theirs = Pipe(duplex=False)
        with theirs:
            command = Command(what="fork", number=number, bounds=bounds)
            program.tell(command, line.fileno(), theirs.fileno())

    @property
    def pid(self) -> int:
        """Its number; waits until it has one.

        Raises:
            ProcessLookupError: The server ended before it forked.
        """
        if self._pid is None:
            self._hear()
        if self._pid is None:
            raise ProcessLookupError("the fork server ended before it forked")
        return self._pid

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        while self._code is None and self._status.poll():
            self._hear()
        return self._code is not None

    def wait(self) -> int:
        """Wait for its end; returns the number of the signal, negative, or its exit status."""
        while self._code is None:
            self._hear()
        self._status.close()
        return self._code

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._program.tell(Command(what="kill", number=self._number))

    def _hear(self) -> None:
        """Wait for what the server says next: the process's number, and then how it ended."""
        try:
            said: int = self._status.recv()
        except EOFError:  # it will say no more
            self._code = self._program.code() or -signal.SIGKILL
        else:
            if self._pid is None:
                self._pid = said
            else:
                self._code = said
