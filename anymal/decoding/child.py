"""What a decoding process runs: one job after the other, until its parent closes the line or dies.

Does not import torch, and knows nothing of the pool. `process` starts it, as a new interpreter: a
fork of a process with threads could stop dead at a lock that one of them held.
"""

import logging
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import EntryPoint
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from anymal.decoding.job import Bounds, Job, Outcome, Warned
from anymal.decoding.shared import pack
from anymal.errors import AnymalError

Decode = Callable[..., Any]
READY = "ready"
OUT_OF_MEMORY = 12  # the exit status of a process without room for a job, or for what it gave


def main() -> None:
    """Serve the line whose descriptor is the first argument; the others are `work` and bounds."""
    line = Connection(int(sys.argv[1]))
    bounds = Bounds(memory_bytes=int(sys.argv[3]), cpu_seconds=int(sys.argv[4]))
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    decode: Decode = EntryPoint("decode", sys.argv[2], "").load()
    records = _collect_log()
    _bound_memory(bounds.memory_bytes)
    line.send(READY)
    try:
        while True:
            job = line.recv()
            _bound_time(bounds.cpu_seconds)
            _reply(line, *_outcome(decode, job, records))
    except EOFError:
        return
    except MemoryError:  # half a message may be on the line, so there is no way on
        sys.exit(OUT_OF_MEMORY)


def _end_with_the_parent() -> None:
    """End this process when the parent goes, however it goes; standard input is then at its end."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def _collect_log() -> "SimpleQueue[logging.LogRecord]":
    """Keep lines of the log for the parent, which knows where they go."""
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logging.getLogger().addHandler(QueueHandler(records))
    logging.getLogger().setLevel(logging.INFO)
    return records


def _bound_memory(num_bytes: int) -> None:
    """Limit how much this process grows; what does not fit is a `MemoryError`.

    Counts memory that can be written to and is not shared. The whole address space would say
    little: libraries and threads reserve much of it and touch none.
    """
    if sys.platform != "linux":  # other systems have the limit and do not enforce it
        return
    import resource

    status = Path("/proc/self/status").read_text()
    held = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + num_bytes, hard))
    # Where the machine itself runs out, the system ends this process and not the parent. It is a
    # hint, which some containers do not let through.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _bound_time(seconds: int) -> None:
    """Limit the processor time from here on; the system ends a process that takes more."""
    if sys.platform == "win32":
        return
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _outcome(
    decode: Decode, job: Job, records: "SimpleQueue[logging.LogRecord]"
) -> tuple[Outcome, int | None]:
    """Decode; returns what to send, and the memory that holds the arrays."""
    packed, memory, error = None, None, None
    with warnings.catch_warnings(record=True, action="default") as seen:
        try:
            packed, memory = pack(
                decode(job.medium, job.limits, modality=job.modality, hints=job.hints)
            )
        except Exception as found:  # the process's edge: the parent raises it
            error = found
    outcome = Outcome(
        signal=packed,
        error=None if error is None else _portable(error),
        ran_out_of_memory=error is not None and _is_of_memory(error),
        places=() if isinstance(error, AnymalError | None) else tuple(_places(error)),
        records=tuple(records.get() for _ in range(records.qsize())),
        warned=tuple(
            Warned(
                message=str(each.message),
                category=each.category,
                filename=each.filename,
                lineno=each.lineno,
            )
            for each in seen
        ),
    )
    return outcome, memory


def _reply(line: Connection, outcome: Outcome, memory: int | None) -> None:
    """Send what a job gave."""
    line.send(outcome)
    if memory is not None:
        send_handle(line, memory, os.getppid())
        os.close(memory)


def _portable(error: Exception) -> Exception:
    """The error, or its words if it cannot travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever the class of another package does then
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether a full memory is the cause, or the cause of the cause."""
    while error is not None:
        # libavif's readers have no other class for it.
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _places(error: BaseException) -> Iterator[str]:
    """Where an error was raised, outermost first."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield f"{frame.f_globals.get('__name__')}:{line} {frame.f_code.co_name}"


if __name__ == "__main__":
    main()
