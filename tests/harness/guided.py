"""Coverage-guided fuzzing by hand: a harness's inputs run in a child with limits, under Atheris.

Does not know what is fuzzed; a harness says so in a `Harness`. Needs `pip install atheris`, which
no test does. The child ends at a crash, an input that hangs, or a limit of memory; it is started
again until the time is over. What was found lies in the folder that is told: the input, and beside
it a text with the traceback. The same seed, on a machine that is as fast, makes the same inputs.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.anymal.media.fuzz.mutations import mutated

ROOT = Path(__file__).parents[2]
PACKAGES = ["anymal", "server"]
LONGEST_INPUT, LONGEST_MESSAGE = 2**15, 1000
# One input in so many has a piece of it repeated up to this length: work that grows too fast shows.
STRETCHED_ONE_IN, STRETCHED_BYTES = 32, 2**18
# Memory that one input may add to the most that the child had, and all of them together.
MOST_PEAK_KIB, MOST_GROWTH_BYTES = 256 * 2**10, 3 * 2**30
HANG_S = 60
MOST_KEPT_OF_A_KIND = 3
_BEGAN = time.monotonic()
_IS_OURS = re.compile(rf"{ROOT}/(?:{'|'.join(PACKAGES)})/")
_DONE = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """What is fuzzed.

    Attributes:
        module: Of the harness, as `python -m` takes it.
        seeds: Makes the inputs to begin with, in the parent; it gets a folder for files.
        prepare: Makes what runs one input and names its kind, in the child, from a folder for
            files; the project is imported here, since only what is imported here is watched.
        seconds: Of processor time that one input may take.
        refuses_warnings: Whether a warning of a library is a fault.
    """

    module: str
    seeds: Callable[[Path], list[bytes]]
    prepare: Callable[[Path], Callable[[bytes], str]]
    seconds: float = 2.0
    refuses_warnings: bool = False


def main(harness: Harness) -> None:
    """The command line of a harness.

    Args:
        harness: What is fuzzed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {harness.module}")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="default runs/harness/NAME")
    parser.add_argument("--replay", type=Path, help="run this one input and nothing else")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    out = given.out or Path("runs/harness") / harness.module.rpartition(".")[2]
    out.mkdir(parents=True, exist_ok=True)
    if given.replay is not None:
        sys.stdout.write(harness.prepare(out)(stretched(given.replay.read_bytes())) + "\n")
    elif given.child:
        _fuzz(harness, out, given.seconds, given.seed)
    else:
        _supervise(harness, out, given.seconds, given.seed)


def stretched(data: bytes) -> bytes:
    """One input in 32 with a piece of it repeated; the input itself tells which piece."""
    mark = zlib.crc32(data)
    if mark % STRETCHED_ONE_IN or not data:
        return data
    start = (mark >> 4) % len(data)
    piece = data[start : start + 1 + (mark >> 20) % 64]
    return data[:start] + piece * (STRETCHED_BYTES // len(piece)) + data[start + len(piece) :]


# --- the parent -----------------------------------------------------------------------------------


def _supervise(harness: Harness, out: Path, seconds: int, seed: int) -> None:
    """Starts children until the time is over, then tells what became of the inputs."""
    for folder in ("corpus", "found", "counts"):
        (out / folder).mkdir(exist_ok=True)
    for number, data in enumerate(harness.seeds(out)):
        (out / "corpus" / f"seed-{number:03d}").write_bytes(data)
    start = time.monotonic()
    while (left := seconds - (time.monotonic() - start)) >= 1:
        command = [sys.executable, "-m", harness.module, "--child", "--out", str(out)]
        command += ["--seconds", str(round(left)), "--seed", str(seed)]
        with (out / f"log-{seed}.txt").open("wb") as log:
            child = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
        if child.returncode:
            sys.stdout.write(f"child {seed} ended with {child.returncode}; see {log.name}\n")
        seed += 1
    report = _report(out) | {"seconds": round(time.monotonic() - start)}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _report(out: Path) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    for path in (out / "counts").iterdir():
        outcomes.update(json.loads(path.read_text()))
    logs = sorted(out.glob("log-*.txt"), key=lambda path: path.stat().st_mtime)
    last = [found for path in logs for found in _DONE.findall(path.read_text(errors="replace"))]
    return {
        "inputs": outcomes.total(),
        "outcomes": dict(outcomes.most_common()),
        "coverage": dict(zip(("inputs", "edges", "features", "corpus"), last[-1:], strict=False))
        and dict(zip(("edges", "features", "corpus"), map(int, last[-1][1:]), strict=True)),
        "found": sorted(path.name for path in (out / "found").iterdir()),
    }


# --- the child ------------------------------------------------------------------------------------


def _fuzz(harness: Harness, out: Path, seconds: int, seed: int) -> None:
    """Runs inputs until the time is over."""
    import atheris

    with ExitStack() as watched:
        watched.enter_context(atheris.instrument_imports(include=PACKAGES))
        run = harness.prepare(out)
        from anymal.errors import AnymalError
    seeds = [path.read_bytes() for path in sorted((out / "corpus").glob("seed-*"))]
    judge = _Judge(run, AnymalError, out, harness.seconds, seed)
    for data in seeds:
        judge(data)  # what libraries load late is behind us
    _limit(seconds)
    if harness.refuses_warnings:
        warnings.simplefilter("error")

    def mutate(data: bytes, most: int, number: int) -> bytes:
        rng = np.random.default_rng(number)
        if (chance := rng.random()) < 0.5:
            return bytes(atheris.Mutate(data, most))
        # Guidance forgets a file that only a library reads.
        return mutated([data] if chance < 0.75 else seeds, rng)[:most]

    options = {
        "seed": seed,
        "max_total_time": max(1, round(seconds - (time.monotonic() - _BEGAN))),
        "max_len": LONGEST_INPUT,
        "timeout": HANG_S,
        "report_slow_units": HANG_S,  # by the clock, on a machine that may be busy
        "rss_limit_mb": 0,
        "artifact_prefix": f"{out / 'found'}/ended-",
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([harness.module, *arguments, str(out / "corpus")], judge, custom_mutator=mutate)
    atheris.Fuzz()


class _Judge:
    """Runs one input after the other, and keeps what may not be."""

    def __init__(
        self,
        run: Callable[[bytes], str],
        refusal: type[Exception],
        out: Path,
        most_seconds: float,
        seed: int,
    ) -> None:
        self._run = run
        self._refusal = refusal
        self._found = out / "found"
        self._most_seconds = most_seconds
        self._counts: Counter[str] = Counter()
        self._counts_file = out / "counts" / f"{seed}.json"
        self._kept: Counter[str] = Counter()
        self._told = 0.0

    def __call__(self, data: bytes) -> None:
        start, peak = time.process_time(), _peak_kib()
        try:
            outcome = self._run(stretched(data))
        except self._refusal as error:
            outcome = type(error).__name__
            text = str(error)
            if " at 0x" in text or len(text) > LONGEST_MESSAGE or "Traceback" in text:
                self._keep("message", data, f"a message that no person can read: {text[:2000]}")
        except BaseException as error:  # libraries in Rust raise what is no Exception
            outcome = "fault"
            self._keep(_place(error), data, traceback.format_exc(limit=-12))
        taken = time.process_time() - start
        if taken > self._most_seconds:
            self._keep(f"slow-{outcome}", data, f"{taken:.1f} s of processor time")
        if (grown := _peak_kib() - peak) > MOST_PEAK_KIB:
            self._keep(f"large-{outcome}", data, f"{grown >> 10} MiB more than ever before")
        self._counts[outcome] += 1
        if start - self._told > 1:
            self._told = start
            self._counts_file.write_text(json.dumps(self._counts))

    def _keep(self, kind: str, data: bytes, text: str) -> None:
        if self._kept[kind] < MOST_KEPT_OF_A_KIND:
            self._kept[kind] += 1
            path = self._found / f"{kind}-{zlib.crc32(data):08x}"
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(text)


def _place(error: BaseException) -> str:
    """The kind of a fault: what was raised, and the innermost line of the project."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _IS_OURS.match(frame.filename)] or frames[-1:]
    return f"{type(error).__name__}-{Path(own[-1].filename).stem}-{own[-1].lineno}"


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _limit(seconds: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    spent = round(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + 2 * seconds + HANG_S,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
