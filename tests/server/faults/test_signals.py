"""The real command, told to stop and killed while it answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]
CHAT = "/v1/chat/completions"
COMMAND = "from anymal.cli.main import main; main()"
READY_WITHIN_S = 120.0


@contextmanager
def service(port: int, log: Path) -> Iterator[Any]:
    """`anymal serve` with the built-in model, ready."""
    words = [sys.executable, "-c", COMMAND, "serve", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(words, stderr=file, stdout=file, env=dict(os.environ))
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _is_ready(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    return number


class Listener(threading.Thread):
    """A client with a long stream."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.has_begun = threading.Event()
        self.error: Exception | None = None
        self.seen = ""
        self._url = f"http://127.0.0.1:{port}{CHAT}"
        self.start()

    def run(self) -> None:
        body = {**question("Tell me more."), "stream": True, "max_tokens": 900, "ignore_eos": True}
        try:
            with httpx.stream("POST", self._url, json=body, timeout=60) as answer:
                for line in answer.iter_lines():
                    self.seen += line
                    if '"content":"' in line.replace('"content":""', ""):
                        self.has_begun.set()
        except httpx.HTTPError as error:
            self.error = error


def question(text: str) -> dict[str, Any]:
    lying = {"samples": [[0, 0, 9.8]] * 100, "rate_hz": 50}
    content = [{"type": "input_imu", "input_imu": lying}, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content}]}


def ask(port: int) -> httpx.Response:
    body = {**question("What is it?"), "max_tokens": 5}
    return httpx.post(f"http://127.0.0.1:{port}{CHAT}", json=body, timeout=60)


def test_killed_then_started_again_then_told_to_stop(port: int, tmp_path: Path) -> None:
    with service(port, tmp_path / "first.log") as process:
        listeners = [Listener(port) for _ in range(4)]
        assert all(each.has_begun.wait(60) for each in listeners)
        process.send_signal(signal.SIGKILL)
        for each in listeners:
            each.join(30)
        assert all(each.error is not None and "[DONE]" not in each.seen for each in listeners)

    with service(port, tmp_path / "second.log") as process:  # the same port, at once
        assert ask(port).status_code == 200
        listeners = [Listener(port) for _ in range(4)]
        assert all(each.has_begun.wait(60) for each in listeners)
        process.send_signal(signal.SIGTERM)
        refused = ask(port)
        while refused.status_code == 200:  # the signal is on its way
            refused = ask(port)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
        assert any(each.is_alive() for each in listeners)  # refused while others finish
        for each in listeners:
            each.join(60)
        assert [each.error for each in listeners] == [None] * 4
        assert all("[DONE]" in each.seen for each in listeners)
        assert process.wait(30) == 0
        assert "Traceback" not in (tmp_path / "second.log").read_text()
