"""A service in a process of its own, so that its stalls and its memory can be measured."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

MOST_MIB, MOST_STALL_S = 300, 0.25
SLOWNESS = 2  # of machines whose other cores are busy


class Service:
    """A running service and its decoding processes."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def children(self) -> set[int]:
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}

    def num_threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def memory_mib(self, key: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith(key)).split()[1]) / 1024

    def cpu_s(self) -> float:
        """Processor time of the service itself."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Ask for its health all the while; then check how long that took, and the memory.

        A wait counts as far as the service was at work in it: it may also be other processes that
        keep it from working.
        """
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        before, over, stalls = self.memory_mib("VmRSS"), threading.Event(), [0.0]

        def watch() -> None:
            with httpx.Client(base_url=self.url) as http:
                while not over.is_set():
                    begun, cpu_s = time.perf_counter(), self.cpu_s()
                    assert http.get("/healthz", timeout=60).status_code == 200
                    waited = time.perf_counter() - begun
                    stalls.append(min(waited, self.cpu_s() - cpu_s))
                    over.wait(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(60)
        peak, now = self.memory_mib("VmHWM") - before, self.memory_mib("VmRSS") - before
        found = f"stuck for {max(stalls):.2f} s, memory grew by {peak:.0f} MiB and kept {now:.0f}"
        assert max(stalls) < MOST_STALL_S * SLOWNESS, found
        assert peak < MOST_MIB, found
        assert now < MOST_MIB / 3, found


@contextmanager
def started(script: str) -> Iterator[Service]:
    """Run a script that prints the port it listens on."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is measured as Linux tells it")
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Service(process, int(process.stdout.readline()))
        finally:
            process.terminate()
