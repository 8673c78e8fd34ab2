"""Bodies of very many or very large values: refused at once, in little memory, beside others.

The service has a process of its own, so that its stalls and its memory can be measured, and no
model, which none of them needs.
"""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.faults.own_process import SLOWNESS, Service, started

pytestmark = pytest.mark.faults

MOST_S = 1.0
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
    "samples of text": (ALIGN, JSON, IMU + b'"",' * 99_000 + b'""]}}}', 400),
    "more samples of text": (ALIGN, JSON, IMU + b'"",' * 200_000 + b'""]}}}', 413),
    "samples of lists": (ALIGN, JSON, IMU + b'["a"],' * 99_000 + b"[]]}}}", 400),
    "channels": (ALIGN, JSON, IMU + b"[" + b"1," * 400_000 + b"1]]}}}", 400),
    "options": (
        *(ALIGN, JSON),
        b'{"input":{"type":"input_media","input_media":{"modality":"a","url":"data:","options":{'
        + b",".join(b'"k%d":[]' % number for number in range(99_000))
        + b"}}}}",
        400,
    ),
    "keys": (CHAT, JSON, SAY + b",".join(b'"k%d":1' % n for n in range(99_000)) + b"}", 400),
    "more keys": (CHAT, JSON, SAY + b",".join(b'"k%d":1' % n for n in range(170_000)) + b"}", 413),
    "keys of a message": (
        *(CHAT, JSON),
        b'{"messages":[{' + b",".join(b'"k%d":1' % n for n in range(99_000)) + b"}]}",
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


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with started(SERVE) as found:
        httpx.post(f"{found.url}{CHAT}", json={}, timeout=60)  # imports what answers take
        yield found


@pytest.mark.parametrize("name", CASES)
def test_body(service: Service, name: str) -> None:
    path, kind, body, status = CASES[name]
    with service.measured():
        begun, cpu_s = time.perf_counter(), service.cpu_s()
        answer = httpx.post(
            f"{service.url}{path}", content=body, headers={"content-type": kind}, timeout=60
        )
        # As far as the service was at work, and not kept from it.
        seconds = min(time.perf_counter() - begun, service.cpu_s() - cpu_s)
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
