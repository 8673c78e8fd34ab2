"""Decodes a file in a process of its own, with bounds on its memory and its processor time."""

import multiprocessing
import resource
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from anymal.errors import MediaError
from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video

DECODERS: dict[str, Callable[[Source], Any]] = {
    "image": lambda source: decode_image(source, Limits()).pixels,
    "video": lambda source: decode_video(source, Limits()).frames,
    "audio": lambda source: decode_audio(source, Limits()).samples,
    "imu": lambda source: decode_imu(source, Limits(), rate_hz=50).samples,
}
_MIB = 2**20
# Of address space: a failure should not take the memory of the whole machine.
_MOST_BYTES = 2**33


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a file.

    Attributes:
        refusal: The name and the words of the error; empty where it was decoded.
        grown_mib: Peak of memory above what was held before, without what was returned.
        seconds: Processor time.
    """

    refusal: str
    grown_mib: float
    seconds: float


def measure(kind: str, make: Callable[[], bytes], most_s: int = 20) -> Outcome:
    """Decodes what `make` returns.

    Args:
        kind: Of `DECODERS`.
        make: Makes the file; a function of a module.
        most_s: Processor seconds after which the system ends the process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_decode, args=(kind, make(), most_s, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"the process ended with {process.exitcode}") from None
    finally:
        process.join()
        ours.close()


def _decode(kind: str, data: bytes, most_s: int, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    source = Source(name="small", data=data)
    before, returned, refusal = _peak_mib(), 0, ""
    start_s = _seconds()
    try:
        returned = DECODERS[kind](source).nbytes
    except MediaError as error:
        refusal = f"{type(error).__name__}: {error}"
    answer.send(
        Outcome(
            refusal=refusal,
            grown_mib=_peak_mib() - before - returned / _MIB,
            seconds=_seconds() - start_s,
        )
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
