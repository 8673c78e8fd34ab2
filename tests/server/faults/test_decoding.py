"""Callers who leave, and media that kill, block or fill the process that decodes them."""

import base64
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from anymal.decoding.fork_server import ForkServer
from anymal.decoding.job import Bounds
from anymal.decoding.pool import DecoderPool
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import Medium
from server.app import create_app
from server.served.models import Backend
from server.settings import Settings
from tests.odd_decoders import WORK

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::ResourceWarning")]
WORKERS = 2
QUESTION = {"type": "text", "text": "What is in the picture?"}
RED = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAA"
    "AABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with closing(ForkServer(WORK)) as server:
        yield server


@pytest.fixture
def pool(forks: ForkServer) -> Iterator[DecoderPool]:
    pool = DecoderPool(WORKERS, bounds=Bounds(memory_bytes=100 * 2**20), forks=forks)
    pool.start()  # so that its descriptors count as there before
    started = pids_of(pool)
    yield pool
    assert pool.is_closed, "the service closes it"
    assert started
    assert not any(lives(pid) for pid in started)


@pytest.fixture
def serve(tiny: Backend, run: Any, pool: DecoderPool) -> Callable[..., Any]:
    return lambda **settings: run(create_app(Settings(**settings), tiny, decoders=pool))


def part(data: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def picture(words: str = "") -> list[dict[str, Any]]:
    """A question about a picture that is odd in some way, or not."""
    return [part(words.encode() or base64.b64decode(RED)), QUESTION]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids_of(pool: DecoderPool) -> list[int]:
    return [process.pid for process in pool._all]


def warm(pool: DecoderPool) -> None:
    """Have a process ready: the one that decodes next."""
    source = Source(name="red.png", data=base64.b64decode(RED))
    pool.decode(Medium(source=source), None, modality="image", limits=Limits())


def pid_in(live: Any, path: Path) -> int:
    assert live.settles(path.exists)
    return int(path.read_text())


def test_who_hangs_up_leaves_nothing_at_work(
    serve: Any, pool: DecoderPool, vanish: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    with serve() as live:
        lines = [live.connect() for _ in range(6)]
        for number, line in enumerate(lines):
            live.begin(picture(f"spin {tmp_path / str(number)}"), line)
        assert live.settles(lambda: len(list(tmp_path.glob("[0-9]"))) == WORKERS)
        at_work = [int(path.read_text()) for path in tmp_path.glob("[0-9]")]
        assert pool.stats().busy == WORKERS
        for line in lines:
            vanish(line)
        assert live.settles(lambda: pool.stats().busy == 0)
        assert live.settles(lambda: live.app.state.drain.num_running == 0)
        assert not any(lives(pid) for pid in at_work)
        assert not live.app.state.worker._places._held
        assert len(pids_of(pool)) == WORKERS
        answer = live.ask(picture(), max_tokens=5)
        assert answer.status_code == 200, answer.text
        told = httpx.get(f"{live.url}/metrics", timeout=60).text
        assert f'anymal_decoder_kills_total{{reason="stopped"}} {len(at_work)}.0' in told
        assert "anymal_decoders_busy 0.0" in told


def test_a_killed_decoder_costs_one_request(serve: Any, pool: DecoderPool, tmp_path: Path) -> None:
    with serve() as live, ThreadPoolExecutor(4) as threads:
        odd = threads.submit(live.ask, [*picture()[:1], *picture(f"sleep {tmp_path / 'begun'}")])
        pid = pid_in(live, tmp_path / "begun")
        others = [threads.submit(live.ask, picture(), max_tokens=5) for _ in range(3)]
        os.kill(pid, signal.SIGKILL)
        answer = odd.result()
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("media_corrupt", "messages.0.content.1")
        assert error["message"].startswith("messages.0.content.1: data URL (image/png): ")
        assert "SIGKILL" in error["message"]
        for other in others:
            assert other.result().status_code == 200, other.result().text
        assert pool.stats().kills == {"crashed": 1}


@pytest.mark.parametrize("deed", ["sleep", "spin"])
def test_a_request_has_an_end_while_its_media_are_decoded(
    serve: Any, pool: DecoderPool, tmp_path: Path, deed: str
) -> None:
    warm(pool)
    with serve(request_seconds=4) as live:
        answer = live.ask(picture(f"{deed} {tmp_path / 'begun'}"))
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "request_timeout"
        assert pool.stats().busy == 0
        assert not live.app.state.worker._places._held
        assert not lives(pid_in(live, tmp_path / "begun"))


def test_a_decoder_that_fills_memory(serve: Any, pool: DecoderPool) -> None:
    with serve() as live:
        answer = live.ask(picture("fill"))
        assert answer.status_code == 413
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("media_too_large", "messages.0.content.0")
        assert live.ask(picture(), max_tokens=5).status_code == 200
        assert pool.stats().kills == {"memory": 1}


def test_a_service_that_stops_ends_its_decoders(serve: Any, tmp_path: Path) -> None:
    with serve() as live, ThreadPoolExecutor(1) as thread:
        odd = thread.submit(live.ask, picture(f"sleep {tmp_path / 'begun'}"))
        pid_in(live, tmp_path / "begun")
        closing = threading.Thread(target=live.app.state.worker._preparing.close)
        closing.start()
        assert odd.result().status_code == 503
        assert odd.result().json()["error"]["code"] == "shutting_down"
        closing.join()
