"""A contender in a process of its own, so that none shares threads or memory with another.

Does not know what it runs; `worker.py` is the other side.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu.worker import Answered
from benchmarks.serving.process import rss_bytes

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A contender that waits for turns.

    Attributes:
        process: Which.
        log: Where its messages go.
    """

    process: "subprocess.Popen[str]"
    log: Path

    def answer(self, prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
        """Take a turn; see `benchmarks.cpu.worker.Answer`.

        Raises:
            RuntimeError: The process has ended; the message holds its log.
        """
        assert self.process.stdin is not None, "the pipe was asked for"
        self.process.stdin.write(json.dumps({"prompts": prompts, "num_new": num_new}) + "\n")
        self.process.stdin.flush()
        return self._reply()

    def memory_mb(self) -> int:
        """Memory that it holds."""
        return rss_bytes(self.process.pid) // 2**20

    def _reply(self) -> list[Answered]:
        assert self.process.stdout is not None, "the pipe was asked for"
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended:\n{self.log.read_text()}")
        return [Answered(**each) for each in json.loads(line)]


@contextmanager
def started(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str]
) -> Iterator[Contender]:
    """Run a contender until the block ends.

    Args:
        command: Runs `benchmarks.cpu.worker.work`.
        log: Where its messages go.
        environment: All that it sees.

    Yields:
        The contender, ready.

    Raises:
        RuntimeError: It ended before it was ready; the message holds its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=file, text=True, cwd=ROOT, env=environment
        ) as process,
    ):
        try:
            contender = Contender(process=process, log=log)
            contender._reply()
            yield contender
        finally:
            process.terminate()
