"""Web pages of other sites, and their bodies, on a real port without keys."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.faults
BIG = 90 * 2**20
KINDS = (
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/json",
)
FOREIGN = (
    "Host: evil.example",
    "Host: localhost\r\nOrigin: https://evil.example",
    "Host: localhost\r\nOrigin: null",
    "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate",
)


def test_refused_before_the_body(
    make_app: Callable[..., FastAPI], run: Callable[..., AbstractContextManager[Any]]
) -> None:
    with run(make_app(hosts=())) as live:
        for sender, kind in itertools.product(FOREIGN, KINDS):
            with live.connect() as line:
                line.settimeout(60)
                head = f"POST /v1/ask HTTP/1.1\r\n{sender}\r\nContent-Type: {kind}\r\n"
                line.sendall(f"{head}Content-Length: {BIG}\r\n\r\n".encode())  # and nothing more
                answer = b""
                while not answer.endswith(b"}}"):
                    answer += line.recv(4000)
            assert answer.startswith(b"HTTP/1.1 403 "), (sender, kind)
            assert b'"code":"foreign_' in answer
