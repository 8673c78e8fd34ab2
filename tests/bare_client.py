"""Run by `test_bare_client.py` in an environment that holds little; asks a server of its own."""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

from anymal.client import AsyncClient, Client
from anymal.errors import AnymalError

ABSENT = ("torch", "numpy", "transformers", "PIL", "pandas", "fastapi", "rich", "yaml", "encoders")
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
HEAD = {"id": "1", "created": 1, "model": "m"}


class Service(BaseHTTPRequestHandler):
    """Says back how many bytes of media came."""

    def do_GET(self) -> None:
        self._send(json.dumps({"data": [{"id": "m", "created": 1}]}), "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        *media, question = body["messages"][0]["content"]
        text = f"{question['text']} {len(media)}"
        if body.get("stream"):
            deltas = [{"delta": {"content": piece}} for piece in text.split(" ")]
            choices: list[Any] = [*deltas, {"delta": {}, "finish_reason": "stop"}]
            events = [{**HEAD, "choices": [choice], "usage": USAGE} for choice in choices]
            frames = [f"data: {json.dumps(event)}\n\n" for event in events]
            self._send("".join(frames) + "data: [DONE]\n\n", "text/event-stream")
        else:
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            whole = {**HEAD, "choices": [choice], "usage": USAGE}
            self._send(json.dumps(whole), "application/json")

    def _send(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to say."""


async def ask_async(url: str) -> None:
    async with AsyncClient(base_url=url) as client:
        assert (await client.ask("one", image=b"x")).text == "one 1"
        async with await client.ask("two", stream=True) as stream:
            assert [piece async for piece in stream] == ["two", "0"]


def ask(url: str) -> None:
    with Client(base_url=url) as client:
        assert client.ask("What?", image=b"x", imu=__file__, imu_rate_hz=50).text == "What? 2"
        turn = client.message("And?", audio=b"x")
        assert client.chat([turn]).text == "And? 1"
        with client.ask("Now?", stream=True) as stream:
            assert list(stream) == ["Now?", "0"]
            assert stream.answer.usage.total_tokens == 2
        assert client.models()[0].id == "m"
        try:
            client.ask("What?", image=[[0, 1], [2, 3]])
        except AnymalError:
            pass
        else:
            raise AssertionError("lists of numbers were sent")
    asyncio.run(ask_async(url))


def main() -> None:
    present = [name for name in ABSENT if find_spec(name)]
    assert not present, f"the environment holds {present}"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        ask(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    sys.stdout.write("answered")


if __name__ == "__main__":
    main()
