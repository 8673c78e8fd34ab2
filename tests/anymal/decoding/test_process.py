"""Decoding processes end with their parent, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PARENT = """
import sys, threading
from anymal.decoding.fork_server import ForkServer
from anymal.decoding.pool import DecoderPool
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import Medium

pool = DecoderPool(1, forks=ForkServer("tests.odd_decoders:decode"))
medium = Medium(source=Source(name="a", data=sys.argv[1].encode()))
call = {"modality": "image", "limits": Limits()}
threading.Thread(target=pool.decode, args=[medium, None], kwargs=call, daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("deed", ["sleep", "spin"])
def test_a_dead_parent_leaves_no_process(
    begun: Any, lives: Any, settles: Any, tmp_path: Path, deed: str
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"{deed} {tmp_path / 'begun'}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        pid = begun("begun")
        assert lives(pid)
    finally:
        parent.kill()
        parent.wait()
    assert settles(lambda: not lives(pid))


def test_signals_to_the_group_are_for_the_parent(
    make_pool: Any, ask: Any, begun: Any, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pool = make_pool()
    errand = pool.errand()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ask, errand, f"sleep {tmp_path / 'begun'}")
        pid = begun("begun")
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        ignored = int(
            next(
                line.split()[1]
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("SigIgn:")
            ),
            16,
        )
        assert all(ignored >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM))
        assert not running.done()
        errand.stop()
