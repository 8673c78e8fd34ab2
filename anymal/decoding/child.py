"""What a decoding process runs: one job after the other, until its parent closes the line or dies.

Does not import torch, and knows nothing of the pool. `fork_program` starts it.
"""

import gc
import logging
import os
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
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


_NICENESS = 5  # what answers goes first: it gets three times as much of a core that both want


def serve(line: Connection, decode: Decode, bounds: Bounds, *, leash: int) -> int:
    """Do what comes along a line.

    Args:
        line: Brings jobs, and takes outcomes.
        decode: Does them.
        bounds: Of this process, from here on.
        leash: A descriptor to read from, at its end when this process is of no more use.

    Returns:
        The exit status.
    """
    threading.Thread(target=_end_at_the_end_of, args=[leash], daemon=True).start()
    os.nice(_NICENESS)
    records = _collect_log()
    _bound_memory(bounds.memory_bytes)
    try:
        line.send(READY)
        while True:
            if _do_next(line, decode, records, bounds.cpu_seconds):
                gc.collect()  # an error and its frames hold each other, and what was decoded so far
    except (EOFError, BrokenPipeError, ConnectionResetError):  # nobody asks any more
        return 0
    except MemoryError:  # half a message may be on the line, so there is no way on
        return OUT_OF_MEMORY


def _do_next(
    line: Connection, decode: Decode, records: "SimpleQueue[logging.LogRecord]", cpu_seconds: int
) -> bool:
    """Wait for a job and do it; returns whether it failed. Nothing of it is held afterwards."""
    job = line.recv()
    _bound_time(cpu_seconds)
    outcome, memory = _outcome(decode, job, records)
    _reply(line, outcome, memory)
    return outcome.error is not None


def _end_at_the_end_of(leash: int) -> None:
    os.read(leash, 1)
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
