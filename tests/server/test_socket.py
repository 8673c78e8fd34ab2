"""Once over a real socket: what in-process transports cannot show."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from anymal.client import Client


@pytest.fixture
def url(make_app: Callable[..., FastAPI]) -> Iterator[str]:
    app = make_app(default_tokens=10**9, max_tokens=10**9)
    # Listening before the server starts: clients wait in the backlog, and nobody has to poll.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_stock_client(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as stock:
        messages: Any = [{"role": "user", "content": "Gr\xfc\xdfe"}]
        stream = stock.chat.completions.create(model="anymal-fake", messages=messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Gr\xfc\xdfe"


def test_own_client(url: str) -> None:
    with Client(base_url=url) as client:
        assert client.ask("Gr\xfc\xdfe").text == "Gr\xfc\xdfe"
        assert "".join(client.ask("Gr\xfc\xdfe", stream=True)) == "Gr\xfc\xdfe"


def test_leaving_a_stream_stops_the_engine(url: str, engine: Any) -> None:
    with Client(base_url=url) as client, client.ask("forever", stream=True) as stream:
        assert next(stream) == "f"
        assert not engine.has_ended.is_set()
    assert engine.has_ended.wait(20)


def test_hanging_up_before_the_answer_stops_the_engine(url: str, engine: Any) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "forever"}]}).encode()
    target = httpx.URL(url)
    with socket.create_connection((target.host, target.port)) as line:
        line.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: anymal\r\n"
            b"Content-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert engine.has_begun.wait(20)
        assert not engine.has_ended.is_set()
    assert engine.has_ended.wait(20)
