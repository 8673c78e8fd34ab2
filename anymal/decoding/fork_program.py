"""The program of a fork server: imports the decoders once, then forks a process on each command.

A new interpreter takes most of a second until it can decode, a fork some milliseconds. The service
itself is not forked: a lock that one of its threads held would stay locked. This program has no
threads. Knows nothing of media; `fork_server` is its other end.
"""

import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from typing import Literal

from anymal.decoding.child import Decode, serve
from anymal.decoding.job import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to the program. The descriptors of the child's line and status follow a `fork`.

    Attributes:
        what: To do.
        number: Of the child, never used twice.
        bounds: Of a child that is forked.
    """

    what: Literal["fork", "kill"]
    number: int
    bounds: Bounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    pid: int
    status: Connection


def main() -> None:
    """Obey until the parent closes the line whose descriptor is the first argument."""
    commands = Connection(int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    decode: Decode = EntryPoint("decode", sys.argv[2], "").load()
    gc.freeze()  # a collection in a child would write to, and so copy, all that is shared
    _Forks(commands, decode).run()


class _Forks:
    """The children, each with a line for its number and how it ended."""

    def __init__(self, commands: Connection, decode: Decode) -> None:
        self._commands = commands
        self._decode = decode
        self._children: dict[int, _Child] = {}
        self._wake, self._waker = os.pipe()
        self._leash, self._hand = os.pipe()  # at its end when this process goes, however it goes
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def run(self) -> None:
        """Obey, and tell of ends, until there is nobody to obey."""
        while True:
            ready = wait([self._commands, self._wake])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._tell_ends()
            if self._commands in ready:
                try:
                    command: Command = self._commands.recv()
                except (EOFError, ConnectionResetError):
                    return  # the children see it as well
                self._obey(command)

    def _obey(self, command: Command) -> None:
        if command.what == "kill":
            if child := self._children.get(command.number):  # not one that has ended
                os.kill(child.pid, signal.SIGKILL)
            return
        line, status = (Connection(recv_handle(self._commands)) for _ in range(2))
        pid = os.fork()
        if not pid:
            status.close()
            self._become_child(line, command)
        line.close()
        self._children[command.number] = _Child(pid=pid, status=status)
        _tell(status, pid)

    def _become_child(self, line: Connection, command: Command) -> None:
        """Decode, and end without a step back into this program."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (self._wake, self._waker, self._hand):
                os.close(number)
            for each in (self._commands, *(child.status for child in self._children.values())):
                each.close()
            assert command.bounds is not None, "of a fork"
            code = serve(line, self._decode, command.bounds, leash=self._leash)
        except BaseException:  # nothing may pass
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _tell_ends(self) -> None:
        """Bury who has ended, and say how."""
        ended = [number for number, child in self._children.items() if _has_ended(child)]
        for number in ended:
            del self._children[number]


def _has_ended(child: _Child) -> bool:
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if not pid:
        return False
    _tell(child.status, os.waitstatus_to_exitcode(status))
    child.status.close()
    return True


def _tell(status: Connection, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know any more
        status.send(number)


if __name__ == "__main__":
    main()
