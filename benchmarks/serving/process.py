"""A service in a process of its own, and what the system knows of it.

Does not measure the service; Linux only, where it reads `/proc`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_WITHIN_S = 120.0
END_WITHIN_S = 60.0


def rss_bytes(pid: int) -> int:
    """Memory that a process holds; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service that answers.

    Attributes:
        url: Where.
        process: Which; it may be killed.
    """

    url: str
    process: "subprocess.Popen[bytes]"

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run in the block and rest after it: some services spin while nobody asks."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)

    def rss_bytes(self) -> int:
        """Memory that it holds."""
        return rss_bytes(self.process.pid)

    def children(self) -> list[int]:
        """Processes that it started, and theirs."""
        found, new = [], [self.process.pid]
        while new:
            listed = (_children(pid) for pid in new)
            new = [pid for pids in listed for pid in pids]
            found += new
        return found

    def num_files(self) -> int:
        """Descriptors that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def num_threads(self) -> int:
        """Threads that it runs."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def anymal_serve(*flags: str) -> list[str]:
    """The command that serves a bundle."""
    return [str(Path(sys.executable).with_name("anymal")), "serve", *flags]


@contextmanager
def served(
    command: Sequence[str],
    *,
    log: Path,
    ready: str = "/readyz",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Run a service on a free port of this machine until the block ends.

    Args:
        command: Takes `--port`.
        log: Where its output goes.
        ready: Path that answers 200 once the service is ready.
        environment: Beside this process's own.

    Yields:
        The service, ready.

    Raises:
        RuntimeError: If it is not ready in time; the message holds its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        service = Served(url=f"http://127.0.0.1:{port}", process=process)
        _wait_until_ready(service, log, ready)
        yield service
    finally:
        process.send_signal(signal.SIGCONT)  # where it rests
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_until_ready(service: Served, log: Path, path: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while service.process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{service.url}{path}", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise RuntimeError(f"{service.process.args!r} did not become ready:\n{log.read_text()}")
