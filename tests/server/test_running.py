"""A real server and a real signal: what is under way finishes, nothing else begins."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from server.running import Service


def test_sigterm_lets_a_stream_finish_and_refuses_others(make_app: Callable[..., FastAPI]) -> None:
    app = make_app(drain_seconds=60)
    may_end = threading.Event()
    seen: list[object] = []

    def words() -> Iterator[bytes]:
        yield b"first "
        assert may_end.wait(60)
        yield b"last"

    @app.get("/v1/slow")
    def slow() -> StreamingResponse:
        return StreamingResponse(words())

    def talk(url: str) -> None:
        try:
            with (
                httpx.Client(base_url=url, timeout=60) as http,
                http.stream("GET", "/v1/slow") as stream,
            ):
                pieces = stream.iter_raw()
                seen.append(next(pieces))
                os.kill(os.getpid(), signal.SIGTERM)
                while (refused := http.get("/readyz")).status_code == 200:
                    pass  # the signal is on its way
                seen.extend((refused.status_code, refused.headers["retry-after"]))
                seen.append(http.get("/healthz").status_code)
                may_end.set()
                seen.append(b"".join(pieces))
        except BaseException:
            may_end.set()
            service.should_exit = True
            raise

    service = Service(app, app.state.settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        talker = threading.Thread(target=talk, args=[url])
        talker.start()
        service.run(sockets=[listener])  # returns, so the command ends with 0
        talker.join()
    assert seen == [b"first ", 503, "5", 200, b"last"]
