"""Attacks on a service that has its model: each is refused in words, beside others, without a rest.

What hurts before a body is read has `test_bodies`, what hurts decoders `test_decoding`.
"""

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from benchmarks.serving.attacks import fast_flac, flat_png, lying_mp4, scanned_jpeg
from tests.server.faults.own_process import Service, started

pytestmark = pytest.mark.faults

SERVE = """
import socket
from server.app import create_app
from server.running import Service
from server.settings import Settings

settings = Settings(open=True, api_key="alices")
app = create_app(settings)
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    Service(app, settings).run(sockets=[listener])
"""
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
MIB = 2**20


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def url_of(data: bytes) -> dict[str, str]:
    return {"url": f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"}


def image(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": url_of(data)}


def webp_of(side: int) -> bytes:
    """A header alone."""
    body = b"VP8L" + struct.pack("<I", 18) + b"\x2f" + struct.pack("<I", side | side << 14)
    return b"RIFF" + struct.pack("<I", len(body) + 17) + b"WEBP" + body + bytes(13)


def file(name: str, data: str = "AAAA") -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, "filename": name}}


NO_MODEL = {"model": "m" * 5 * MIB, "input": "a"}
LONG_MODALITY = {"type": "input_media", "input_media": {"modality": "a" * MIB, "url": "data:,"}}
TURN = {"role": "user", "content": "a"}
CASES: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "words": (CHAT, user("the red circle " * 300_000), 400, "context_length_exceeded"),
    "one letter": (CHAT, user("a" * 5 * MIB), 400, "context_length_exceeded"),
    "messages": (CHAT, {"messages": [TURN] * 24_000}, 400, "context_length_exceeded"),
    "more messages": (CHAT, {"messages": [TURN] * 60_000}, 413, "body_too_large"),
    "items": (RESPONSES, {"input": [TURN] * 24_000}, 400, "context_length_exceeded"),
    "parts": (CHAT, user([{"type": "text", "text": "a"}] * 24_000), 400, "context_length_exceeded"),
    "rows": (
        CHAT,
        user([{"type": "input_imu", "input_imu": {"samples": [[1] * 6] * 60_000, "rate_hz": 50}}]),
        200,
        "",
    ),
    "pictures": (CHAT, user([image(flat_png(500))] * 40), 400, "context_length_exceeded"),
    "scans": (CHAT, user([image(scanned_jpeg(500, 500))]), 413, "media_too_large"),
    "canvas": (CHAT, user([image(webp_of(16_382))]), 413, "media_too_large"),
    "frames": (CHAT, user([{"type": "video_url", "video_url": url_of(lying_mp4())}]), 413, ""),
    "samples": (
        CHAT,
        user([{"type": "audio_url", "audio_url": url_of(fast_flac(seconds=60))}]),
        413,
        "media_too_large",
    ),
    "large file": (CHAT, user([image(bytes(40 * MIB))]), 400, "media_unsupported"),
    "head of a URL": (
        CHAT,
        user([{"type": "image_url", "image_url": "data:" + ";" * 20 * MIB + ","}]),
        400,
        "media_unsupported",
    ),
    "long URL": (CHAT, user([{"type": "image_url", "image_url": "x:" + "a" * 20 * MIB}]), 400, ""),
    "long file_url": (
        RESPONSES,
        {"input": [{**TURN, "content": [{"type": "input_file", "file_url": "x:" + "a" * MIB}]}]},
        400,
        "",
    ),
    "long name of a model": (RESPONSES, NO_MODEL, 400, ""),
    "long modality": (CHAT, user([LONG_MODALITY]), 400, ""),
    "long filename": (CHAT, user([file("\u00e9" * 5 * MIB + ".png")]), 400, ""),
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with started(SERVE) as found, httpx.Client(base_url=found.url, timeout=300) as http:
        while http.get("/readyz").status_code != 200:
            assert found.process.poll() is None
            time.sleep(0.1)
        for number in range(2):  # once in each decoding process
            assert ask(found, CHAT, user([image(flat_png(64 + number))])).status_code == 200
        yield found
        found.process.terminate()
        assert found.process.wait(60) in (0, -15)


def ask(service: Service, path: str, body: dict[str, Any], key: str = "") -> httpx.Response:
    headers = {"content-type": "application/json"} | (
        {"authorization": f"Bearer {key}"} if key else {}
    )
    content = json.dumps(body).encode()
    return httpx.post(f"{service.url}{path}", content=content, headers=headers, timeout=120)


@pytest.mark.parametrize("name", CASES)
def test_attack(service: Service, name: str) -> None:
    path, body, status, code = CASES[name]
    children, threads = service.children(), service.num_threads()
    with service.measured():
        answer = ask(service, path, {**body, "max_tokens": 2} if path == CHAT else body)
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.text) < 1000
    if code:
        assert answer.json()["error"]["code"] == code
    assert len(service.children()) <= len(children)
    assert service.num_threads() <= threads + 2  # of those that wait for more work


def test_a_form_with_a_large_file(service: Service) -> None:
    with service.measured():
        files = {"image": ("noise.png", bytes(40 * MIB))}
        form = {"question": "What is it?"}
        answer = httpx.post(f"{service.url}/v1/ask", data=form, files=files, timeout=120)
    assert answer.json()["error"]["code"] == "media_unsupported"


def test_a_body_in_chunks_of_one_byte(service: Service) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n"
    with service.measured(), socket.create_connection(("127.0.0.1", service.port)) as line:
        line.settimeout(60)
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
        assert line.recv(12) == b"HTTP/1.1 400"


def test_a_flood_leaves_room_for_another_caller(service: Service) -> None:
    """One caller asks for all answers that there are, again and again."""
    over = threading.Event()
    greedy = user([image(flat_png(64))]) | {"n": 8, "ignore_eos": True, "max_tokens": 100}
    seen: list[int] = []

    def flood() -> None:
        while not over.is_set():
            seen.append(ask(service, CHAT, greedy).status_code)

    with ThreadPoolExecutor(12) as threads:
        for _ in range(12):
            threads.submit(flood)
        try:
            small = user([image(flat_png(65))]) | {"max_tokens": 4}
            answers = [ask(service, CHAT, small, key="alices").status_code for _ in range(5)]
        finally:
            over.set()
    assert answers == [200] * 5
    assert set(seen) == {200, 429}
