"""Bodies of very many or very large values: refused at once, in little memory, beside others.

The service has a process of its own, so that its stalls and its memory can be measured, and no
model, which none of them needs.
"""

import json
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

pytestmark = pytest.mark.faults

MOST_MIB, MOST_STALL_S, MOST_S = 300, 0.25, 1.0
SLOWNESS = 2  # of machines whose other cores are busy
SERVE = """
import socket, sys, threading
from server.app import create_app
from server.running import Service
from server.settings import Settings

settings = Settings(max_body_bytes=2**24)
app = create_app(settings, load=lambda _: threading.Event().wait())
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    Service(app, settings).run(sockets=[listener])
"""
CHAT, ALIGN, ASK = "/v1/chat/completions", "/v1/align", "/v1/ask"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SAY = b'{"messages":[{"role":"user","content":"a"}],'
IMU = b'{"input":{"type":"input_imu","input_imu":{"rate_hz":50,"samples":['
MANY = 10_000_000
CASES: dict[str, tuple[str, str, bytes, int]] = {
    "objects": (CHAT, JSON, b'{"messages":[' + b"{}," * (MANY // 3) + b"{}]}", 413),
    "lists": (CHAT, JSON, b'{"messages":[' + b"[]," * (MANY // 3) + b"[]]}", 413),
    "objects that just fit": (CHAT, JSON, b'{"messages":[' + b"{}," * 90_000 + b"{}]}", 400),
    "messages": (
        *(CHAT, JSON),
        b'{"messages":[' + b'{"role":"user","content":"hi"},' * 320_000 + b"{}]}",
        413,
    ),
    "parts": (
        *(CHAT, JSON),
        b'{"messages":[{"role":"user","content":[' + b"{}," * 200_000 + b"{}]}]}",
        400,
    ),
    "stop": (CHAT, JSON, SAY + b'"stop":[' + b"1," * 400_000 + b"1]}", 400),
    "samples of text": (ALIGN, JSON, IMU + b'"",' * 200_000 + b'""]}}}', 400),
    "samples of lists": (ALIGN, JSON, IMU + b'["a"],' * 150_000 + b"[]]}}}", 400),
    "channels": (ALIGN, JSON, IMU + b"[" + b"1," * 400_000 + b"1]]}}}", 400),
    "options": (
        *(ALIGN, JSON),
        b'{"input":{"type":"input_media","input_media":{"modality":"a","url":"data:","options":{'
        + b",".join(b'"k%d":[]' % number for number in range(120_000))
        + b"}}}}",
        400,
    ),
    "keys": (CHAT, JSON, SAY + b",".join(b'"k%d":1' % n for n in range(170_000)) + b"}", 400),
    "keys of a message": (
        *(CHAT, JSON),
        b'{"messages":[{' + b",".join(b'"k%d":1' % n for n in range(170_000)) + b"}]}",
        400,
    ),
    "long key": (CHAT, JSON, SAY + b'"' + b"k" * MANY + b'":1}', 400),
    "long type": (
        *(CHAT, JSON),
        b'{"messages":[{"role":"user","content":[{"type":"' + b"k" * MANY + b'"}]}]}',
        400,
    ),
    "deep": (CHAT, JSON, b'{"messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    "digits": (CHAT, JSON, SAY + b'"seed":' + b"9" * MANY + b"}", 400),
    "long numbers": (CHAT, JSON, SAY + b'"seed":[' + b"9" * 4000 + b"," + b"9" * 4000 + b"]}", 400),
    "quotes": (CHAT, JSON, SAY + b'"model":"' + b'\\"' * (MANY // 2) + b'"}', 413),
    "backslashes": (CHAT, JSON, SAY + b'"model":"' + b"\\\\" * (MANY // 2) + b'"}', 400),
    "spaces": (CHAT, JSON, b" " * MANY + b"{}", 400),
    "form of ands": (ASK, FORM, b"&" * MANY, 413),
    "form of fields": (ASK, FORM, b"a=1&" * (MANY // 4), 413),
    "form of fewer fields": (ASK, FORM, b"a=1&" * 200_000, 400),
    "form of stops": (ASK, FORM, b"question=a&" + b"stop=1&" * 900, 400),
    "admin": ("/admin/bundles", JSON, b'{"folder":[' + b"{}," * (MANY // 3) + b"{}]}", 401),
}


class Service:
    """A service in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def memory_mib(self, key: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith(key)).split()[1]) / 1024

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Ask for its health all the while; then check how long that took, and the memory."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        before, over, stalls = self.memory_mib("VmRSS"), threading.Event(), [0.0]

        def watch() -> None:
            with httpx.Client(base_url=self.url) as http:
                while not over.is_set():
                    begun = time.perf_counter()
                    assert http.get("/healthz", timeout=60).status_code == 200
                    stalls.append(time.perf_counter() - begun)
                    over.wait(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(60)
        assert max(stalls) < MOST_STALL_S * SLOWNESS
        assert self.memory_mib("VmHWM") - before < MOST_MIB
        assert self.memory_mib("VmRSS") - before < MOST_MIB / 3


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is measured as Linux tells it")
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = Service(process, int(process.stdout.readline()))
            httpx.post(f"{found.url}{CHAT}", json={}, timeout=60)  # imports what answers take
            yield found
        finally:
            process.kill()


@pytest.mark.parametrize("name", CASES)
def test_body(service: Service, name: str) -> None:
    path, kind, body, status = CASES[name]
    with service.measured():
        begun = time.perf_counter()
        answer = httpx.post(
            f"{service.url}{path}", content=body, headers={"content-type": kind}, timeout=60
        )
        seconds = time.perf_counter() - begun
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.text) < 1000
    assert seconds < MOST_S * SLOWNESS


def begin(service: Service, size: int) -> socket.socket:
    """A request whose body of a declared size does not come; waits until it is being read."""
    line = socket.create_connection(("127.0.0.1", service.port))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\n"
    line.sendall(f"{head}Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode())
    line.settimeout(30)
    return line


def test_large_bodies_leave_room_for_small_ones(service: Service) -> None:
    lines = [begin(service, 2**24) for _ in range(20)]
    try:
        heads = [line.recv(12).decode() for line in lines]
        assert sorted(heads) == ["HTTP/1.1 100"] * 3 + ["HTTP/1.1 503"] * 17
        body: Any = {"messages": [{"role": "user", "content": "x" * 100_000}]}
        answer = httpx.post(f"{service.url}{CHAT}", json=body, timeout=60)
        assert answer.json()["error"]["code"] == "not_ready"  # it was read
        large = json.dumps(body).encode() + b" " * 2**22
        headers = {"content-type": JSON}
        answer = httpx.post(f"{service.url}{CHAT}", content=large, headers=headers, timeout=60)
        assert answer.json()["error"]["code"] == "not_ready"
    finally:
        for line in lines:
            line.close()
    for _ in range(300):  # until it has seen that they are gone
        with begin(service, 2**24) as line:
            if line.recv(12) == b"HTTP/1.1 100":
                return
        time.sleep(0.05)
    raise AssertionError("the bytes of callers who left are not given back")
