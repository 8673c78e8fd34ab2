"""Decodes mutated files in a process of its own, whose death the test sees.

    python -m tests.anymal.media.fuzz.child FOLDER MODALITY FIRST NUMBER [WRITE_TO]

It prints one line of JSON: faults, the slowest case, and by how many MiB the process grew. A file
`at` in the folder holds the number of the case that is being decoded.
"""

import ctypes
import gc
import json
import logging
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from anymal.errors import MediaError
from anymal.media.audio import decode_audio
from anymal.media.image import decode_image
from anymal.media.imu import decode_imu
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.media.video import decode_video
from tests.anymal.media.fuzz.mutations import mutated

LIMITS = Limits(
    max_bytes=2**20,
    max_json_bytes=2**20,
    max_pixels=2**20,
    max_frames=500,
    max_sampled_pixels=2**21,
    max_seconds=30,
    max_motion_seconds=600,
    max_motion_samples=50_000,
)
MODALITIES = ("image", "video", "audio", "imu")
MOST_BYTES_OF_MEMORY = 8 * 2**30
LONGEST_MESSAGE = 600


def decode(modality: str, data: bytes, rate_hz: float | None) -> None:
    source = Source(name="file", data=data)
    if modality == "image":
        decode_image(source, LIMITS)
    elif modality == "video":
        decode_video(source, LIMITS, num_frames=4, with_audio=True)
    elif modality == "audio":
        decode_audio(source, LIMITS)
    else:
        decode_imu(source, LIMITS, rate_hz=rate_hz)


def case(seeds: list[bytes], modality: str, number: int) -> tuple[bytes, float | None]:
    """The file of a case, and the rate that is declared for it."""
    rng = np.random.default_rng([MODALITIES.index(modality), number])
    return mutated(seeds, rng), (None, None, 50.0)[rng.integers(3)]


class _Tracebacks(logging.Handler):
    """Finds log lines that carry an exception."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or "Traceback" in record.getMessage():
            self.found.append(record.getMessage())


def main(folder: Path, modality: str, first: int, number: int) -> None:
    seeds = [path.read_bytes() for path in sorted((folder / modality).iterdir())]
    log = _Tracebacks()
    logging.basicConfig(level=logging.INFO, handlers=[log])
    for data in seeds:
        decode(modality, data, 50.0)
    # What the libraries load themselves is behind us.
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES_OF_MEMORY, MOST_BYTES_OF_MEMORY))
    peak, kept = _peak_mib(), _kept_mib()
    faults: list[str] = []
    counts: Counter[str] = Counter()
    slowest = (0.0, first)
    with (folder / "at").open("w") as at:
        for place in range(first, first + number):
            at.seek(0)
            at.write(f"{place} ")
            at.flush()
            data, rate_hz = case(seeds, modality, place)
            start = time.perf_counter()
            outcome = _outcome(lambda: decode(modality, data, rate_hz))  # noqa: B023
            slowest = max(slowest, (time.perf_counter() - start, place))
            counts[outcome if outcome.isalpha() else "fault"] += 1
            if not outcome.isalpha():
                faults.append(f"{modality} case {place}: {outcome}")
    faults += [f"in the log: {line}" for line in log.found]
    report = {
        "faults": faults,
        "counts": counts,
        "slowest": slowest,
        "peak_mib": _peak_mib() - peak,
        "kept_mib": _kept_mib() - kept,
    }
    print(json.dumps(report))  # noqa: T201


def _outcome(run: Callable[[], None]) -> str:
    """The name of what became of a file, or a traceback."""
    try:
        run()
    except MediaError as error:
        text = str(error)
        if " at 0x" in text or len(text) > LONGEST_MESSAGE or "Traceback" in text:
            return f"a message that no person can read: {text[:1000]}"
        return type(error).__name__
    except BaseException:
        return traceback.format_exc(limit=-6)
    return "decoded"


def _peak_mib() -> float:
    """The most memory that the process had."""
    return _status_mib("VmHWM")


def _kept_mib() -> float:
    """The memory that the process has, once it has given back what it can."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    return _status_mib("VmRSS")


def _status_mib(name: str) -> float:
    """What Linux tells of this process; other systems are not measured."""
    # The peak that `resource` tells counts the parent's, too.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith(name)), 0.0)


if __name__ == "__main__":
    given = sys.argv[1:]
    if len(given) == 5:  # for a look at one case
        files = [path.read_bytes() for path in sorted((Path(given[0]) / given[1]).iterdir())]
        Path(given[4]).write_bytes(case(files, given[1], int(given[2]))[0])
    else:
        main(Path(given[0]), given[1], int(given[2]), int(given[3]))
